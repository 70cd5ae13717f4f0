"""The bodies of OTLP responses: success, partial success and errors, in the encoding of the request."""

import json

from google.rpc import code_pb2, error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from driftbell.collectors.decode import Encoding
from driftbell.collectors.intake import Signal

Response = ExportTraceServiceResponse | ExportLogsServiceResponse | ExportMetricsServiceResponse
MEDIA_TYPES: dict[Encoding, str] = {"protobuf": "application/x-protobuf", "json": "application/json"}
_COUNTS: dict[Signal, tuple[str, str]] = {
    "traces": ("rejected_spans", "rejectedSpans"),
    "logs": ("rejected_log_records", "rejectedLogRecords"),
    "metrics": ("rejected_data_points", "rejectedDataPoints"),
}
_RESPONSES: dict[Signal, type[Response]] = {
    "traces": ExportTraceServiceResponse,
    "logs": ExportLogsServiceResponse,
    "metrics": ExportMetricsServiceResponse,
}


def success(signal: Signal, rejected: int, message: str) -> Response:
    """The response message; partial success is set only when something was refused."""
    response = _RESPONSES[signal]()
    if rejected:
        setattr(response.partial_success, _COUNTS[signal][0], rejected)
        response.partial_success.error_message = message
    return response


def success_body(signal: Signal, encoding: Encoding, rejected: int, message: str) -> bytes:
    """`success` in the encoding of the request; 64-bit numbers are strings in JSON."""
    if encoding == "protobuf":
        return success(signal, rejected, message).SerializeToString() if rejected else b""
    if not rejected:
        return b"{}"
    counts = {_COUNTS[signal][1]: str(rejected), "errorMessage": message}
    return json.dumps({"partialSuccess": counts}).encode()


def status(code: int, message: str, retry_after: float | None = None) -> status_pb2.Status:
    """A google.rpc.Status; with ``retry_after`` (s) it says when to come back."""
    answer = status_pb2.Status(code=code, message=message)
    if retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(retry_after * 1e9))
        answer.details.add().Pack(retry)
    return answer


def error_body(encoding: Encoding, code: int, message: str) -> bytes:
    """A google.rpc.Status in the encoding of the request."""
    if encoding == "protobuf":
        return bytes(status(code, message).SerializeToString())
    return json.dumps({"code": code, "message": message}).encode()


INVALID_ARGUMENT = code_pb2.INVALID_ARGUMENT
RESOURCE_EXHAUSTED = code_pb2.RESOURCE_EXHAUSTED
UNAUTHENTICATED = code_pb2.UNAUTHENTICATED
UNAVAILABLE = code_pb2.UNAVAILABLE
UNIMPLEMENTED = code_pb2.UNIMPLEMENTED
