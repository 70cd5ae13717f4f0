"""Export over gRPC, for environments that ask for it."""

from concurrent import futures

import pytest

from driftbell import monitor

grpc = pytest.importorskip("grpc", reason='gRPC export needs: pip install "driftbell[grpc]"')
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
def grpc_collector(collector):
    """The collector behind a gRPC server; its address."""

    def export(body, context):
        if collector.status != 200:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "refused")
        collector.last_headers = dict(context.invocation_metadata())
        collector.bodies.append(body)
        return b""

    class Calls(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(export) if details.method == METHOD else None

    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Calls()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture
def configured(grpc_collector, monkeypatch):
    monitor.shutdown()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", grpc_collector)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=abc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    assert monitor.configure()
    yield
    monitor.shutdown()


def test_spans_arrive_with_their_headers(configured, collector):
    with monitor.observe("answers"):
        pass
    assert collector.span().name == "answers"
    assert collector.last_headers["api-key"] == "abc"


def test_a_refused_batch_is_counted(configured, collector):
    collector.status = 400
    monitor.marker("release")
    assert monitor.flush(10)
    assert monitor.dropped() == {"refused": 1}
