"""The way to the collector: addresses, headers, time-outs, TLS and proxies, all from the standard variables."""

import contextlib
import http.client
import http.server
import selectors
import socket
import ssl
import threading
from urllib.parse import urlsplit

import pytest
import trustme

from driftbell import monitor


@pytest.fixture
def sends(monkeypatch):
    """Configures from the given ``OTEL_EXPORTER_OTLP_*`` variables and sends one marker; whether it was delivered."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def send(patience=5.0, **variables):
        for name, text in variables.items():
            monkeypatch.setenv(name if name.endswith("_PROXY") else f"OTEL_EXPORTER_OTLP_{name}", str(text))
        monitor.shutdown()
        if not monitor.configure(exit_seconds=0.1):
            return "not configured"
        monitor.marker("release")
        delivered = monitor.flush(patience) and not monitor.dropped()
        monitor.shutdown()
        return delivered

    return send


def test_the_address_of_the_traces_endpoint_is_taken_as_it_is(sends, collector):
    assert sends(ENDPOINT="http://127.0.0.1:9", TRACES_ENDPOINT=f"{collector.url}/otlp/v1/traces?tenant=a")
    assert collector.last_path == "/otlp/v1/traces?tenant=a"


def test_a_base_address_gets_the_path_of_traces(sends, collector):
    assert sends(ENDPOINT=f"{collector.url}/otlp/")
    assert collector.last_path == "/otlp/v1/traces"


def test_headers_are_percent_decoded_and_those_for_traces_win(sends, collector):
    sends(ENDPOINT=collector.url, HEADERS="api-key=none")
    assert sends(TRACES_HEADERS="api-key=a%3Db%2Cc%20d, X-Scope-OrgID = tenant%201")
    assert collector.last_headers["api-key"] == "a=b,c d"
    assert collector.last_headers["x-scope-orgid"] == "tenant 1"


@pytest.mark.parametrize("header", ["api-key=a%0D%0Ab", "api%0Akey=a", "api-key=%E2%82%AC"])
def test_a_header_that_cannot_be_sent_is_refused_at_once_and_not_quoted(sends, collector, caplog, header):
    assert sends(ENDPOINT=collector.url, HEADERS=header) == "not configured"
    assert "must be printable ASCII" in caplog.text
    assert "€" not in caplog.text


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:4318", "ftp://host", "http://", "http://h:x", "http://[::1", "http://h /"]
)
def test_an_address_that_cannot_be_used_is_refused_at_once(sends, caplog, endpoint):
    assert sends(ENDPOINT=endpoint) == "not configured"
    assert "must be an http:// or https:// address" in caplog.text


@pytest.mark.parametrize("timeout", ["0.2", "1000"])
def test_a_request_is_given_up_after_the_time_out_in_seconds_or_milliseconds(sends, collector, timeout):
    collector.hold = threading.Event()
    try:
        assert not sends(3, ENDPOINT=collector.url, TIMEOUT=timeout)
        assert collector.requests > 1, "it was not tried again"
    finally:
        collector.hold.set()


def test_credentials_in_the_address_become_a_header(sends, collector):
    assert sends(ENDPOINT=collector.url.replace("//", "//me:p%40ss@"))
    assert collector.last_headers["Authorization"] == "Basic bWU6cEBzcw=="


# --- TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """Paths of the certificates as the variables want them."""
    folder = tmp_path_factory.mktemp("certificates")
    paths = {name: str(folder / name) for name in ("ca", "certificate", "key")}
    authority.cert_pem.write_to_path(paths["ca"])
    ours = authority.issue_cert("client@example.com")
    ours.cert_chain_pems[0].write_to_path(paths["certificate"])
    ours.private_key_pem.write_to_path(paths["key"])
    return paths


@pytest.fixture
def secure(collector, authority, serving_tls):
    """The collector behind TLS; its https address, or one that wants a client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    authority.configure_trust(context)
    return lambda mutual=False: serving_tls(collector, context, mutual)


def test_a_collector_with_a_certificate_of_the_given_authority_is_trusted(sends, secure, files, collector):
    assert sends(ENDPOINT=secure(), CERTIFICATE=files["ca"])
    assert len(collector.received()) == 1


def test_a_collector_that_nobody_vouches_for_gets_nothing(sends, secure, collector):
    assert not sends(0.5, ENDPOINT=secure())
    assert collector.bodies == []


def test_a_certificate_for_another_host_is_refused(sends, secure, files, collector):
    port = urlsplit(secure()).port
    assert not sends(0.5, ENDPOINT=f"https://127.0.0.2:{port}", CERTIFICATE=files["ca"])
    assert collector.bodies == []


def test_a_client_shows_its_own_certificate(sends, secure, files, collector):
    own = {"CLIENT_CERTIFICATE": files["certificate"], "CLIENT_KEY": files["key"]}
    address = secure(mutual=True)
    assert not sends(0.5, ENDPOINT=address, CERTIFICATE=files["ca"])
    assert sends(**own)
    assert len(collector.received()) == 1


def test_a_certificate_that_is_not_there_is_told_at_once(sends, secure, caplog):
    assert sends(ENDPOINT="https://127.0.0.1:1", CERTIFICATE="/nowhere/ca.pem") == "not configured"
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE must name a file that can be read" in caplog.text


# --- proxies


class Proxy:
    """A proxy that wants a password and remembers what it was asked for."""

    def __init__(self):
        self.asked = []
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                if self._refused():
                    return
                url = urlsplit(self.path)
                there = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kept = {name: text for name, text in self.headers.items() if not name.lower().startswith("proxy-")}
                there.request("POST", url.path, body, kept)
                answer = there.getresponse()
                answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                there.close()

            def do_CONNECT(self):
                if self._refused():
                    return
                host, _, port = self.path.rpartition(":")
                with socket.create_connection((host, int(port)), 10) as there:
                    self.send_response(200)
                    self.end_headers()
                    relay(self.connection, there)

            def _refused(self):
                proxy.asked.append((self.command, self.path))
                if self.headers["Proxy-Authorization"] == "Basic bWU6cEBzcw==":
                    return False
                self.send_error(407)
                return True

            def log_message(self, *_):
                pass

        self.handler = Handler


def relay(one, two):
    """Carry bytes both ways until one side ends."""
    with selectors.DefaultSelector() as ready, contextlib.suppress(OSError):
        ready.register(one, selectors.EVENT_READ, two)
        ready.register(two, selectors.EVENT_READ, one)
        while True:
            for key, _ in ready.select(10):
                data = key.fileobj.recv(65536)
                if not data:
                    return
                key.data.sendall(data)


@pytest.fixture
def proxy(serving_proxy):
    """A proxy and its address."""
    proxy = Proxy()
    proxy.url = f"http://me:p%40ss@127.0.0.1:{serving_proxy(proxy.handler)}"
    return proxy


def test_plain_http_is_asked_of_the_proxy_with_the_whole_address(sends, collector, proxy):
    assert sends(ENDPOINT=collector.url, HTTP_PROXY=proxy.url)
    assert proxy.asked == [("POST", f"{collector.url}/v1/traces")]
    assert len(collector.received()) == 1
    assert collector.last_headers["Proxy-Authorization"] is None


def test_https_goes_through_a_tunnel(sends, secure, collector, proxy, files):
    address = secure()
    assert sends(ENDPOINT=address, CERTIFICATE=files["ca"], HTTPS_PROXY=proxy.url)
    assert proxy.asked == [("CONNECT", urlsplit(address).netloc)]
    assert len(collector.received()) == 1


def test_all_proxy_stands_in_for_both(sends, collector, proxy):
    assert sends(ENDPOINT=collector.url, ALL_PROXY=proxy.url)
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("exception", ["127.0.0.1", "example.com, 127.0.0.1", "127.0.0.1:{port}", "*"])
def test_an_exempted_host_is_reached_directly(sends, collector, proxy, exception):
    port = urlsplit(collector.url).port
    assert sends(ENDPOINT=collector.url, HTTP_PROXY=proxy.url, NO_PROXY=exception.format(port=port))
    assert proxy.asked == []
    assert len(collector.received()) == 1


def test_a_proxy_that_refuses_us_costs_the_spans_and_not_the_application(sends, collector, proxy):
    assert not sends(0.5, ENDPOINT=collector.url, HTTP_PROXY=proxy.url.replace("me:", "you:"))
    assert collector.bodies == []


def test_a_proxy_of_another_kind_is_named_in_the_log(sends, collector, caplog):
    assert not sends(0.5, ENDPOINT=collector.url, ALL_PROXY="socks5://127.0.0.1:1")
    assert collector.bodies == []


# --- gRPC


def test_grpc_is_encrypted_where_the_address_or_its_lack_of_a_scheme_says_so(sends, collector, authority, files):
    grpc = pytest.importorskip("grpc", reason='gRPC export needs: pip install "driftbell[grpc]"')
    server, port, plain_port = grpc_servers(grpc, collector, authority)
    try:
        sends(PROTOCOL="grpc", ENDPOINT=f"https://localhost:{port}", CERTIFICATE=files["ca"])
        sends(ENDPOINT=f"localhost:{port}")
        assert len(collector.received()) == 2
        sends(0.5, ENDPOINT=f"localhost:{plain_port}")
        assert len(collector.received()) == 2, "without a scheme it is encrypted"
        sends(INSECURE="true")
        sends(INSECURE="false", ENDPOINT=f"http://localhost:{plain_port}")
        assert len(collector.received()) == 4
    finally:
        server.stop(None)


def grpc_servers(grpc, collector, authority):
    from concurrent import futures

    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

    def export(body, _context):
        collector.bodies.append(body)
        return b""

    class Calls(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(export) if details.method == method else None

    theirs = authority.issue_cert("localhost")
    pair = (theirs.private_key_pem.bytes(), theirs.cert_chain_pems[0].bytes())
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Calls()])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    plain_port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port, plain_port
