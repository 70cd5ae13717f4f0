"""OTLP over gRPC: the three Export services on a port of their own.

Senders drop what is refused with any code but a few; those that mean "again later" carry a RetryInfo.
"""

import hmac
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Never

import grpc

from driftbell.collectors import response
from driftbell.collectors.batch import BadBatchError, StoreUnavailableError, TooLargeError
from driftbell.collectors.decode import MalformedError
from driftbell.collectors.intake import SIGNALS, Intake, Signal

_SERVICES: dict[Signal, str] = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
_CODES = {
    response.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    response.RESOURCE_EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    response.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    response.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}
log = logging.getLogger(__name__)


class GrpcReceiver:
    """The gRPC side of an `Intake`. ``token``, when given, must come as ``authorization: Bearer`` metadata.

    ``threads`` is how many requests are worked on at a time; a request is not read before its turn.
    """

    def __init__(self, intake: Intake, token: str | None = None, threads: int = 8) -> None:
        self._intake = intake
        self._token = None if token is None else f"bearer {token}".encode()
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="driftbell-grpc"),
            options=[
                ("grpc.max_receive_message_length", min(intake.limits.body, intake.limits.inflated)),
                ("grpc.so_reuseport", 0),
            ],
        )
        for signal in SIGNALS:
            self._server.add_generic_rpc_handlers((self._handler(signal),))

    def start(self, address: str) -> int:
        """Listen on ``host:port`` and return the port; raises `OSError` when it cannot be had."""
        try:
            port = int(self._server.add_insecure_port(address))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from None
        self._server.start()
        return port

    def stop(self, grace: float) -> None:
        """Take no more requests and finish those accepted, for at most ``grace`` seconds."""
        self._server.stop(grace).wait()

    def _handler(self, signal: Signal) -> grpc.GenericRpcHandler:
        def export(body: bytes, context: grpc.ServicerContext) -> Any:
            return self._export(signal, body, context)

        unary: Callable[..., grpc.RpcMethodHandler] = grpc.unary_unary_rpc_method_handler
        method = unary(export, response_serializer=lambda message: message.SerializeToString())
        return grpc.method_handlers_generic_handler(_SERVICES[signal], {"Export": method})

    def _export(self, signal: Signal, body: bytes, context: grpc.ServicerContext) -> Any:
        if not self._trusted(context):
            self._refuse(signal, context, response.UNAUTHENTICATED, "a valid bearer token is needed")
        try:
            with self._intake.admit() as admission:
                admission.hold(len(body))
                accepted = self._intake.accept(signal, body, "protobuf", gzipped=False)
                if accepted.done is not None:
                    accepted.done.result(self._intake.limits.commit_timeout)
        except (MalformedError, BadBatchError) as error:
            self._refuse(signal, context, response.INVALID_ARGUMENT, str(error))
        except TooLargeError as error:
            self._refuse(signal, context, response.RESOURCE_EXHAUSTED, str(error))
        except FutureTimeoutError:
            self._refuse(signal, context, response.UNAVAILABLE, "the commit took too long", 5.0)
        except StoreUnavailableError as error:
            self._refuse(signal, context, response.UNAVAILABLE, str(error), error.retry_after)
        self._intake.requests[signal, "OK"] += 1
        return response.success(signal, accepted.rejected, accepted.message)

    def _trusted(self, context: grpc.ServicerContext) -> bool:
        if self._token is None:
            return True
        given = dict(context.invocation_metadata()).get("authorization", "")
        scheme, _, token = str(given).encode().partition(b" ")
        return hmac.compare_digest(scheme.lower() + b" " + token.strip(), self._token)

    def _refuse(
        self, signal: Signal, context: grpc.ServicerContext, code: int, message: str, retry_after: float | None = None
    ) -> Never:
        self._intake.requests[signal, _CODES[code].name] += 1
        log.log(logging.WARNING if retry_after is None else logging.INFO, "%s refused over gRPC: %s", signal, message)
        details = response.status(code, message, retry_after).SerializeToString()
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(_CODES[code], message)
        raise AssertionError("abort returned")
