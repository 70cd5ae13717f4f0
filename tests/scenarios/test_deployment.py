"""The shipped compose and Kubernetes examples: valid, consistent, and run with the real Collector."""

import queue
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import kubernetes_validate
import pytest
import requests
import yaml
from collector_process import CONFIGURATIONS, collector, running
from deployment import Container, compose, kubernetes, manifests
from driftbell_process import serving
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from otlp_recorder import recording

PROTOBUF = {"Content-Type": "application/x-protobuf"}
TOKEN = "a-token-for-tests"
PLAIN, SPECIAL = 240, ("error", "failed", "slow", "overridden", "high_risk", "refused")
DEADLINE = 40


@pytest.mark.parametrize("name", ["compose.yaml", "compose.sampled.yaml"])
def test_compose_files_follow_the_specification(name):
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*checker, CONFIGURATIONS / name], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("folder", ["kubernetes", "kubernetes-sampled"])
def test_kubernetes_manifests_follow_the_api(folder):
    version = kubernetes_validate.latest_version()
    kinds = Counter()
    for manifest in manifests(CONFIGURATIONS / folder):
        kubernetes_validate.validate(manifest, version, strict=True)
        kinds[manifest["kind"]] += 1
    assert kinds["StatefulSet"] >= 2
    assert kinds["Service"] >= kinds["StatefulSet"]


@pytest.mark.parametrize("name", ["agent.yaml", "balancer.yaml", "gateway.yaml", "sampling.yaml"])
def test_every_setting_of_a_configuration_is_described_in_it(name):
    text = (CONFIGURATIONS / name).read_text()
    comment = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    assert set(re.findall(r"\$\{env:(\w+)", text)) <= set(re.findall(r"[A-Z_]{4,}", comment))


@pytest.mark.parametrize("containers", [compose("compose.sampled.yaml"), kubernetes("kubernetes-sampled")])
def test_examples_set_only_what_the_configurations_read(containers):
    for container in containers:
        texts = [(CONFIGURATIONS / name).read_text() for name in container.configurations]
        assert set(container.environment) <= {found for text in texts for found in re.findall(r"\$\{env:(\w+)", text)}


def test_the_image_has_the_version_that_is_tested():
    version = yaml.safe_load((CONFIGURATIONS / "builder.yaml").read_text())["dist"]["version"]
    deployed = (*compose("compose.yaml"), *compose("compose.sampled.yaml"), *kubernetes("kubernetes-sampled"))
    assert {container.image.rpartition(":")[2] for container in deployed} == {version}


def traffic(now: float) -> dict[str, list[Span]]:
    """Traces of a request and the call in it by name; the ids, and so what is sampled, are always the same."""
    found: dict[str, list[Span]] = {}
    for number, what in enumerate([*(f"plain {n}" for n in range(PLAIN)), *SPECIAL], 1):
        trace = (number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).to_bytes(16, "big")
        lasted = 20.0 if what == "slow" else 1.0
        times = {"start_time_unix_nano": int((now - lasted) * 1e9), "end_time_unix_nano": int(now * 1e9)}
        outer = Span(trace_id=trace, span_id=trace[:8], name="POST /answer", kind=2, **times)
        call = Span(trace_id=trace, span_id=trace[8:], parent_span_id=trace[:8], name="chat m", kind=3, **times)
        told = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "driftbell.workflow": "answer"}
        told |= {"failed": {"error.type": "timeout"}, "high_risk": {"driftbell.risk_tier": "high"}}.get(what, {})
        told |= {"overridden": {"driftbell.override.kind": "edited"}}.get(what, {})
        for key, text in told.items():
            call.attributes.add(key=key).value.string_value = text
        call.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 100
        if what == "refused":
            call.attributes.add(key="driftbell.refused").value.bool_value = True
        if what == "error":
            call.status.code = Status.STATUS_CODE_ERROR
        found[what] = [outer, call]
    return found


def request_of(spans: list[Span]) -> bytes:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    group.scope_spans.add().spans.extend(spans)
    return request.SerializeToString()


def spans_in(bodies: list[bytes]) -> list[Span]:
    requests_ = map(ExportTraceServiceRequest.FromString, bodies)
    return [
        s for request in requests_ for group in request.resource_spans for sc in group.scope_spans for s in sc.spans
    ]


def started(stack: ExitStack, container: Container, folder: Path, **local: str) -> tuple[str, str]:
    """A Collector as the example runs it, the rest of it being on this machine: its OTLP/HTTP URL and gRPC address."""
    assert set(local) - {"DECISION_WAIT"} <= set(container.environment)
    settings = {**container.environment, **local, "QUEUE_DIR": str(folder / container.name)}
    _, http, grpc = stack.enter_context(running(container.configurations, folder / f"{container.name}.log", **settings))
    return http, grpc


def calls_of(url: str) -> int:
    groups = requests.get(f"{url}/api/v1/usage", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
    return sum(group["calls"] for group in groups.json()["groups"])


def wait_for_calls(url: str, n: int) -> int:
    deadline = time.monotonic() + DEADLINE
    while (found := calls_of(url)) < n and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


@pytest.fixture
def driftbell(tmp_path, monkeypatch):
    collector()
    monkeypatch.setenv("DRIFTBELL_TOKEN", TOKEN)
    with serving(tmp_path / "data", "--config", str(CONFIGURATIONS / "driftbell.yaml")) as (_, url):
        yield url


@pytest.mark.parametrize("containers", [compose("compose.yaml"), kubernetes("kubernetes")], ids=["compose", "k8s"])
def test_one_gateway_hands_every_call_on(containers, driftbell, tmp_path):
    (gateway,) = containers
    with ExitStack() as stack:
        http, _ = started(stack, gateway, tmp_path, DRIFTBELL_ENDPOINT=driftbell, DRIFTBELL_TOKEN=TOKEN)
        spans = [span for trace in traffic(time.time()).values() for span in trace]
        assert requests.post(f"{http}/v1/traces", data=request_of(spans), headers=PROTOBUF, timeout=10).ok
        assert wait_for_calls(driftbell, PLAIN + len(SPECIAL)) == PLAIN + len(SPECIAL)


@pytest.mark.parametrize(
    "containers", [compose("compose.sampled.yaml"), kubernetes("kubernetes-sampled")], ids=["compose", "k8s"]
)
def test_the_backend_gets_whole_traces_of_a_sample_and_driftbell_counts_all(containers, driftbell, tmp_path):
    """The two spans of each trace come in different requests, the calls first; each gateway has its own backend."""
    *gateways, balancer = sorted(containers, key=lambda container: container.name.startswith("balancer"))
    sent = traffic(time.time())
    with ExitStack() as stack:
        backends: list[queue.Queue[bytes]] = []
        addresses: dict[str, str] = {}
        for gateway in gateways:
            backend, received = stack.enter_context(recording())
            backends.append(received)
            local = {"DRIFTBELL_ENDPOINT": driftbell, "DRIFTBELL_TOKEN": TOKEN, "BACKEND_ENDPOINT": backend}
            _, addresses[gateway.name] = started(stack, gateway, tmp_path, DECISION_WAIT="2s", **local)
        named = yaml.safe_load(balancer.environment["GATEWAYS"])
        assert {name.partition(":")[0] for name in named} == set(addresses)
        http, _ = started(stack, balancer, tmp_path, GATEWAYS=f"[{', '.join(addresses.values())}]")
        for part in (1, 0):
            body = request_of([trace[part] for trace in sent.values()])
            assert requests.post(f"{http}/v1/traces", data=body, headers=PROTOBUF, timeout=10).ok
        assert wait_for_calls(driftbell, len(sent)) == len(sent)
        kept = [Counter(span.trace_id for span in spans_in(bodies)) for bodies in drained(backends)]
    names = {trace[0].trace_id: name for name, trace in sent.items()}
    assert set(kept[0].values()) | set(kept[1].values()) == {2}, "a trace is whole, and at one gateway"
    found = [names[trace] for trace in (*kept[0], *kept[1])]
    assert set(SPECIAL) <= set(found)
    assert 0.03 < (len(found) - len(SPECIAL)) / PLAIN < 0.2, "a tenth, give or take"


def drained(backends: "list[queue.Queue[bytes]]") -> list[list[bytes]]:
    """What came at each until nothing came any more: decisions are made every second, and then all is sent."""
    bodies: list[list[bytes]] = [[received.get(timeout=DEADLINE)] for received in backends]
    quiet_since = time.monotonic()
    while time.monotonic() < quiet_since + 2.5:
        for held, received in zip(bodies, backends, strict=True):
            while not received.empty():
                held.append(received.get())
                quiet_since = time.monotonic()
        time.sleep(0.05)
    return bodies
