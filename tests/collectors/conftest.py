import random
import threading
import time
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.applications import Starlette

from driftbell.collectors.batch import Batch
from driftbell.collectors.intake import Intake, Limits
from driftbell.collectors.receiver import Receiver
from driftbell.collectors.receiver_grpc import GrpcReceiver
from driftbell.collectors.span import Span
from driftbell.collectors.store import Store
from driftbell.monitor import attributes as names

START = 1_760_000_000.0


class Spans:
    """Makes spans as our own SDK sends them; every span is a trace of its own unless told otherwise."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self.resource = {"service.name": "shop"}

    def trace_id(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def call(self, at: float = 0.0, trace_id: str | None = None, parent_id: str = "", **attributes) -> Span:
        """A call that ended ``at`` seconds after `START`."""
        given = {
            names.OPERATION: "chat",
            names.PROVIDER: "openai",
            names.REQUEST_MODEL: "gpt-4o",
            names.RESPONSE_MODEL: "gpt-4o",
            names.INPUT_TOKENS: 100,
            names.OUTPUT_TOKENS: 20,
            names.WORKFLOW: "answer",
        }
        given.update({getattr(names, name.upper()): value for name, value in attributes.items()})
        return self._span("chat gpt-4o", at, trace_id, parent_id, given)

    def report(self, name: str, call: Span, at: float, **attributes) -> Span:
        """A report about ``call``."""
        given = {names.CALL_TRACE_ID: call.trace_id, names.CALL_SPAN_ID: call.span_id}
        given.update({getattr(names, key.upper()): value for key, value in attributes.items()})
        return self._span(name, at, None, "", given)

    def _span(self, name, at, trace_id, parent_id, attributes) -> Span:
        end = START + at
        return Span(
            trace_id=trace_id or self.trace_id(),
            span_id=f"{self._random.getrandbits(64):016x}",
            parent_id=parent_id,
            name=name,
            start=end - 1.0,
            end=end,
            kind=3,
            attributes=attributes,
            scope=names.SCOPE,
            resource=self.resource,
        )


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path, clock=lambda: START + 1000, busy_timeout=0.05)
    yield opened
    opened.close()


def calls_of(store: Store) -> list:
    """All calls, read page by page."""
    found, cursor = [], None
    while True:
        page = store.calls(limit=500, cursor=cursor)
        found += page.calls
        if page.next is None:
            return found
        cursor = page.next


@pytest.fixture
def all_calls():
    return calls_of


@pytest.fixture
def put(store):
    """Store spans, in one batch, and wait for the commit."""
    return lambda *spans: store.append(Batch(spans))


@pytest.fixture
def points_are_exact():
    """Check that every stored point, at every resolution, says what the calls say."""

    def check(store: Store) -> None:
        store.refresh_all()
        for workflow in store.workflows():
            everything = (workflow.name, -1e12, 1e12)
            minutes = store.recount(*everything)
            assert store.points(*everything) == minutes
            for resolution in ("hour", "day"):
                coarse = store.points(*everything, resolution=resolution)
                assert sum(point.calls for point in coarse) == sum(point.calls for point in minutes)

    return check


@dataclass
class Server:
    """A real server on loopback, its store and its addresses."""

    store: Store
    intake: Intake
    url: str
    grpc: str


@pytest.fixture
def serve(store):
    """Start a server with the given limits and token; stopped at the end of the test."""
    running = []

    def start(limits: Limits | None = None, token: str | None = None) -> Server:
        intake = Intake(store, limits or Limits())
        receiver = Receiver(intake, token)
        config = uvicorn.Config(Starlette(routes=receiver.routes()), host="127.0.0.1", port=0, log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        grpc_receiver = GrpcReceiver(intake, token)
        grpc_port = grpc_receiver.start("127.0.0.1:0")
        wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        running.append((server, thread, grpc_receiver))
        return Server(store, intake, f"http://127.0.0.1:{port}", f"127.0.0.1:{grpc_port}")

    yield start
    for server, thread, grpc_receiver in running:
        server.should_exit = True
        thread.join(10)
        grpc_receiver.stop(1)


@pytest.fixture(name="wait_until")
def _wait_until():
    return wait_until


def wait_until(holds, seconds: float = 10.0) -> None:
    """Poll until ``holds()``; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
