import sqlite3
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from driftbell.collectors.intake import Intake, Limits
from driftbell.collectors.receiver_grpc import GrpcReceiver


def request_of(spans: int = 1, bad: int = 0) -> trace_service_pb2.ExportTraceServiceRequest:
    request = trace_service_pb2.ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for at in range(spans + bad):
        span = scope.spans.add(name="chat m", start_time_unix_nano=10**18, end_time_unix_nano=10**18 + 10**9)
        span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
        span.attributes.add(key="gen_ai.request.model").value.string_value = "m"
        if at < spans:
            span.trace_id = (at + 1).to_bytes(16, "big")
            span.span_id = (at + 1).to_bytes(8, "big")
    return request


@pytest.fixture
def traces(serve):
    """Start a server and return the stub of its trace service."""
    channels = []

    def start(limits=None, token=None):
        server = serve(limits, token)
        channels.append(grpc.insecure_channel(server.grpc, options=[("grpc.max_receive_message_length", 1 << 20)]))
        return trace_service_pb2_grpc.TraceServiceStub(channels[-1])

    yield start
    for channel in channels:
        channel.close()


def refused(export, *args, **kwargs) -> tuple[grpc.StatusCode, status_pb2.Status]:
    """Code and details of a call that must fail."""
    with pytest.raises(grpc.RpcError) as error:
        export(*args, timeout=10, **kwargs)
    details = dict(error.value.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    return error.value.code(), status_pb2.Status.FromString(details)


def test_bad_spans_are_refused_one_by_one(traces, store, all_calls):
    answer = traces().Export(request_of(2, bad=1), timeout=10)
    assert answer.partial_success.rejected_spans == 1
    assert len(all_calls(store)) == 2


def test_logs_and_metrics_are_taken(serve):
    with grpc.insecure_channel(serve().grpc) as channel:
        logs = logs_service_pb2_grpc.LogsServiceStub(channel)
        metrics = metrics_service_pb2_grpc.MetricsServiceStub(channel)
        assert not logs.Export(logs_service_pb2.ExportLogsServiceRequest(), timeout=10).HasField("partial_success")
        empty = metrics_service_pb2.ExportMetricsServiceRequest()
        assert not metrics.Export(empty, timeout=10).HasField("partial_success")


def test_an_undecodable_message_is_an_invalid_argument(serve, store):
    with grpc.insecure_channel(serve().grpc) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        code, details = refused(export, b"\xff\xff\xff")
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert details.message
    assert store.workflows() == []


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_what_is_too_large_is_refused_for_good(traces, store, compression):
    stub = traces(Limits(body=50_000, inflated=50_000))
    code, details = refused(stub.Export, request_of(5000), compression=compression)
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not details.details
    assert store.workflows() == []
    stub.Export(request_of(), timeout=10)


def test_without_the_token_nothing_is_taken(traces, store):
    stub = traces(token="secret-1")
    for given in ((), (("authorization", "Bearer wrong"),)):
        code, _ = refused(stub.Export, request_of(), metadata=given)
        assert code == grpc.StatusCode.UNAUTHENTICATED
    assert store.workflows() == []
    stub.Export(request_of(), metadata=(("authorization", "Bearer secret-1"),), timeout=10)
    assert len(store.workflows()) == 1


def test_a_locked_database_means_come_again(traces, store, all_calls):
    stub = traces()
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    code, details = refused(stub.Export, request_of())
    other.execute("ROLLBACK")
    other.close()
    assert code == grpc.StatusCode.UNAVAILABLE
    retry = error_details_pb2.RetryInfo()
    assert details.details[0].Unpack(retry)
    assert retry.retry_delay.seconds >= 1
    assert all_calls(store) == []
    stub.Export(request_of(), timeout=10)
    assert len(all_calls(store)) == 1


def test_a_stop_finishes_what_was_accepted(store, all_calls, wait_until):
    intake = Intake(store, Limits())
    receiver = GrpcReceiver(intake)
    port = receiver.start("127.0.0.1:0")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, ThreadPoolExecutor(1) as pool:
        with store.write():
            sent = trace_service_pb2_grpc.TraceServiceStub(channel).Export.future(request_of(), timeout=10)
            wait_until(lambda: intake.in_flight[0] == 1)
            stopped = pool.submit(receiver.stop, 10.0)
        assert not sent.result(10).HasField("partial_success")
        stopped.result(10)
    assert len(all_calls(store)) == 1


def test_a_taken_port_is_one_clear_error(store):
    first = GrpcReceiver(Intake(store, Limits()))
    port = first.start("127.0.0.1:0")
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
        GrpcReceiver(Intake(store, Limits())).start(f"127.0.0.1:{port}")
    first.stop(0)
