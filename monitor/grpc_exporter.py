"""Sending the same OTLP request over gRPC, for environments that say ``OTEL_EXPORTER_OTLP_PROTOCOL=grpc``."""

from pathlib import Path
from typing import Any, Final

from driftbell.monitor.exporter import Answer, rejected_spans
from driftbell.monitor.guard import SettingError
from driftbell.monitor.target import Target, address

_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_RETRYABLE: Final = frozenset(
    ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS", "RESOURCE_EXHAUSTED")
)


class GrpcSender:
    """Keeps one channel. It is opened with the first request, because a channel does not survive a fork."""

    def __init__(self, target: Target) -> None:
        try:
            import grpc  # an extra
        except ImportError:
            raise SettingError('OTEL_EXPORTER_OTLP_PROTOCOL=grpc needs: pip install "driftbell[grpc]"') from None
        self._grpc: Any = grpc
        parts = address(target.url)
        self._secure = parts.scheme == "https"
        self._address = parts.netloc.rpartition("@")[2]
        self._headers = tuple((name.lower(), text) for name, text in target.headers.items())
        self._target = target
        self._channel: Any = None

    def send(self, body: bytes, timeout: float) -> Answer:
        """Send once, within ``timeout`` seconds."""
        if self._channel is None:
            self._channel = self._open()
        try:
            answer = self._channel.unary_unary(_METHOD)(body, timeout=timeout, metadata=self._headers)
        except self._grpc.RpcError as error:
            code = error.code().name
            return Answer(False, retry=code in _RETRYABLE, reason=f"gRPC {code}")
        return Answer(True, rejected=rejected_spans(answer))

    def _open(self) -> Any:
        packing = self._grpc.Compression.Gzip if self._target.compress else self._grpc.Compression.NoCompression
        if not self._secure:
            return self._grpc.insecure_channel(self._address, compression=packing)
        files = (self._target.ca_file, self._target.client_key, self._target.client_cert)
        credentials = self._grpc.ssl_channel_credentials(*(_bytes(name) for name in files))
        return self._grpc.secure_channel(self._address, credentials, compression=packing)

    def close(self) -> None:
        """Close the channel."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()


def _bytes(name: str | None) -> bytes | None:
    return None if name is None else Path(name).read_bytes()
