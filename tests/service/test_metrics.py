"""What /metrics tells is documented, and the shipped dashboards ask a real Prometheus for what is there."""

import json
import re
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from running_service import CALL, NOW

ROOT = Path(__file__).resolve().parents[2]
BOARDS = sorted((ROOT / "otel-config" / "grafana").glob("*.json"))
LAST_HOUR = (NOW - 900) // 3600 * 3600 - 3600
QUIET = {"driftbell_delivery_failures", "driftbell_decisions", "driftbell_notifications", "driftbell_incidents_open"}
"""Families that have no sample while nothing was told."""


@pytest.fixture
def running(serve):
    """A service with calls of the last full hour."""
    running = serve(prices={"atlas": {"input": 10, "output": 100}})
    running.send(*(replace(CALL, ts=LAST_HOUR + i, status="error" if i < 5 else "ok") for i in range(20)))
    running.service.store.refresh_all()
    return running


def families(text):
    found = re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)
    return {name.removesuffix("_total") for name in found if not name.endswith("_created")}


def expressions(board):
    panels = json.loads(board.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def plain(expr):
    return expr.replace("$__rate_interval", "1m").replace("$workflow", ".*")


def test_every_metric_is_documented_and_nothing_else(running):
    text = (ROOT / "docs" / "metrics.md").read_text()
    told = set(re.findall(r"`(driftbell_\w+)`", text))
    shown = families(running.get("/metrics").text)
    assert told == shown


def test_the_last_full_hour_of_a_workflow_is_told(running):
    text = running.get("/metrics").text
    assert 'driftbell_workflow_hour_calls{workflow="triage"} 20.0' in text
    assert 'driftbell_workflow_hour_share{measure="error",workflow="triage"} 0.25' in text
    assert 'driftbell_workflow_hour_mean{measure="input_tokens",workflow="triage"} 100.0' in text
    start = re.search(r"^driftbell_workflow_hour_start_timestamp_seconds (\S+)$", text, re.MULTILINE)
    assert float(start[1]) == LAST_HOUR


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.stem)
def test_a_dashboard_is_one_that_grafana_knows_every_field_of(board):
    register_default_plugins()
    given = json.loads(board.read_text())
    assert list(_lost(given, json.loads(JSONEncoder().encode(Dashboard.from_json(given))))) == []
    ids = [panel["id"] for panel in given["panels"]]
    assert len(set(ids)) == len(ids)
    taken = [(p["gridPos"]["x"] + p["gridPos"]["w"]) for p in given["panels"]]
    assert max(taken) <= 24


def _lost(given, read, at=""):
    """What Grafana's own types did not keep of a dashboard."""
    if isinstance(given, dict):
        for name, value in given.items():
            if not isinstance(read, dict) or name not in read:
                yield f"{at}.{name}"
            else:
                yield from _lost(value, read[name], f"{at}.{name}")
    elif isinstance(given, list):
        for number, value in enumerate(given):
            yield from _lost(value, read[number], f"{at}[{number}]")
    elif given != read:
        yield at


@pytest.fixture
def prometheus(running, tmp_path):
    """A real Prometheus that scrapes the service."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    target = {"targets": [running.url.removeprefix("http://")]}
    scrape = {"job_name": "driftbell", "honor_labels": True, "scrape_interval": "1s", "static_configs": [target]}
    (tmp_path / "prometheus.yml").write_text(json.dumps({"scrape_configs": [scrape]}))
    options = [f"--storage.tsdb.path={tmp_path / 'tsdb'}", f"--web.listen-address={url.removeprefix('http://')}"]
    with subprocess.Popen(
        [program, f"--config.file={tmp_path / 'prometheus.yml'}", *options], stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield url
        finally:
            process.terminate()


def ask(url, expr):
    return requests.get(f"{url}/api/v1/query", params={"query": expr}, timeout=10).json()


def test_every_query_of_the_dashboards_is_answered_by_a_real_prometheus(running, prometheus):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if ask(prometheus, "driftbell_workflow_hour_calls")["data"]["result"]:
                break
        except requests.RequestException:
            pass
        time.sleep(0.1)
    shown = families(running.get("/metrics").text)
    for board in BOARDS:
        for expr in expressions(board):
            answer = ask(prometheus, plain(expr))
            assert answer["status"] == "success", (expr, answer)
            names = {name.removesuffix("_bucket") for name in re.findall(r"driftbell_\w+", expr)}
            assert names <= shown | {f"{name}_total" for name in shown}, expr
            if "[" not in expr and "measure" not in expr and not names & QUIET:
                assert answer["data"]["result"], expr
