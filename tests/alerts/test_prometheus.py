"""Real Alertmanager and real Prometheus: routing, resolving, restarts without a false "resolved", the shipped rule."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from driftbell.alerts.channels.build import build_channels
from driftbell.alerts.incident import apply
from driftbell.alerts.outbox import Channels, deliver_due
from driftbell.alerts.proof import send_test
from driftbell.alerts.repost import repost
from driftbell.alerts.settings import AlertSettings
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Finding

RULES = Path(__file__).parents[2] / "otel-config" / "prometheus-rules.yaml"
DEADLINE = 30.0
HOUR = 3600.0
CONFIG = """
global: {{resolve_timeout: 1s}}
route:
  receiver: rest
  group_by: [incident]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
  routes:
    - matchers: [severity="page"]
      receiver: pager
receivers:
  - name: pager
    webhook_configs: [{{url: "{url}/pager", send_resolved: true}}]
  - name: rest
    webhook_configs: [{{url: "{url}/rest", send_resolved: true}}]
"""


def program(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed (apt-get install {'prometheus' if name == 'promtool' else name})")
    return found


def eventually(what: Callable[[], Any]) -> Any:
    """The first true value of ``what`` within the deadline."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if value := what():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def fetch(url: str) -> Any:
    """The JSON (or text) behind ``url``, or None while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return None
    return json.loads(text) if text[:1] in "[{" else text


@contextmanager
def running(*command: str, ready: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        eventually(lambda: fetch(ready))
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


class Alertmanager:
    """One Alertmanager on a folder of its own that can be stopped and started again."""

    def __init__(self, folder: Path, hooks: Any, port: int) -> None:
        self.url, self.hooks, self._port, self._folder = f"http://127.0.0.1:{port}", hooks, port, folder
        (folder / "am.yml").write_text(CONFIG.format(url=hooks.url))

    @contextmanager
    def run(self) -> Iterator[None]:
        with running(
            program("prometheus-alertmanager"),
            f"--config.file={self._folder / 'am.yml'}",
            f"--storage.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--cluster.listen-address=",
            ready=self.url + "/-/ready",
        ):
            yield

    def active(self) -> list[Any]:
        return fetch(self.url + "/api/v2/alerts?active=true") or []

    def notified(self) -> list[tuple[str, str]]:
        """(receiver, status) of what Alertmanager sent on, in order."""
        return [(got.path, got.json["status"]) for got in self.hooks.got]


@pytest.fixture
def alertmanager(tmp_path: Path, http_server: Callable[[], Any], free_port: Callable[[], int]) -> Alertmanager:
    program("prometheus-alertmanager")
    return Alertmanager(tmp_path, http_server(), free_port())


@pytest.fixture
def channels(alertmanager: Alertmanager) -> Channels:
    return build_channels(
        AlertSettings.model_validate(
            {
                "channels": {"am": {"kind": "alertmanager", "url": alertmanager.url}},
                "routes": [{"channels": ["am"]}],
            }
        )
    )


def write(store: Store, channels: Channels, now: float, *findings: Finding) -> None:
    with store.write() as tx:
        apply(tx, findings, now, channels.settings)
    deliver_due(store, channels, now)


def test_alertmanager_routes_and_resolves(
    store: Store, make: Callable[..., Finding], alertmanager: Alertmanager, channels: Channels, t0: float
) -> None:
    with alertmanager.run():
        write(store, channels, make().ts, make())
        eventually(lambda: alertmanager.notified() == [("/pager", "firing")])
        cleared = replace(make(), ts=t0 + HOUR, transition="cleared")
        write(store, channels, t0 + HOUR, cleared)
        write(store, channels, t0 + 4 * HOUR)
        eventually(lambda: alertmanager.notified() == [("/pager", "firing"), ("/pager", "resolved")])
    (alert,) = alertmanager.hooks.got[0].json["alerts"]
    assert alert["labels"]["alertname"] == "DriftbellCost"
    assert alert["annotations"]["summary"].startswith("[PAGE] claims-triage: cost per call up")


def test_a_raised_severity_moves_the_alert_and_leaves_none_behind(
    store: Store, make: Callable[..., Finding], alertmanager: Alertmanager, channels: Channels
) -> None:
    with alertmanager.run():
        write(store, channels, make().ts, make(severity="ticket"))
        eventually(lambda: alertmanager.notified() == [("/rest", "firing")])
        write(store, channels, make().ts + 60, make(severity="page", transition="updated", ts=make().ts + 60))
        eventually(lambda: ("/pager", "firing") in alertmanager.notified())
        eventually(lambda: [a["labels"]["severity"] for a in alertmanager.active()] == ["page"])


def test_an_alertmanager_that_restarts_neither_resolves_nor_rings_again(
    store: Store, make: Callable[..., Finding], alertmanager: Alertmanager, channels: Channels
) -> None:
    with alertmanager.run():
        write(store, channels, make().ts, make())
        eventually(lambda: alertmanager.notified() == [("/pager", "firing")])
    with alertmanager.run():
        assert alertmanager.active() == []
        repost(store, channels)
        eventually(alertmanager.active)
        still = time.monotonic() + 3  # three times resolve_timeout and group_interval
        while time.monotonic() < still:
            repost(store, channels)
            assert len(alertmanager.active()) == 1
            time.sleep(0.2)
    assert alertmanager.notified() == [("/pager", "firing")]


def test_a_sender_that_stops_does_not_make_alertmanager_say_resolved(
    store: Store, make: Callable[..., Finding], alertmanager: Alertmanager, channels: Channels
) -> None:
    with alertmanager.run():
        write(store, channels, make().ts, make())
        eventually(lambda: alertmanager.notified() == [("/pager", "firing")])
        still = time.monotonic() + 3  # nothing is posted for three times resolve_timeout
        while time.monotonic() < still:
            assert len(alertmanager.active()) == 1
            time.sleep(0.2)
    assert alertmanager.notified() == [("/pager", "firing")]


def test_a_test_message_reaches_alertmanager_and_leaves_nothing_open(
    alertmanager: Alertmanager, channels: Channels
) -> None:
    with alertmanager.run():
        send_test(channels, "am", time.time())
        assert alertmanager.active() == []


def test_the_shipped_rules_are_what_promtool_accepts() -> None:
    checked = subprocess.run([program("promtool"), "check", "rules", str(RULES)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_shipped_rules_ring_for_a_stopped_detector_and_for_a_missing_one(tmp_path: Path) -> None:
    name = "driftbell_detector_last_success_timestamp_seconds"
    unit = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": f'{name}{{job="driftbell"}}', "values": "0+60x10 600x40"}],
                "alert_rule_test": [
                    {"eval_time": "10m", "alertname": "DriftbellDetectorStale", "exp_alerts": []},
                    {"eval_time": "24m", "alertname": "DriftbellDetectorStale", "exp_alerts": []},
                    {
                        "eval_time": "26m",
                        "alertname": "DriftbellDetectorStale",
                        "exp_alerts": [
                            {
                                "exp_labels": {"severity": "page", "family": "instrument", "job": "driftbell"},
                                "exp_annotations": {
                                    "summary": "driftbell: no detector run has succeeded for 16m 0s",
                                    "description": "Incidents are neither opened nor resolved while this lasts. "
                                    "See the service's log and `driftbell doctor`.",
                                },
                            }
                        ],
                    },
                ],
            }
        ],
    }
    (tmp_path / "unit.yml").write_text(json.dumps(unit))
    tested = subprocess.run(
        [program("promtool"), "test", "rules", str(tmp_path / "unit.yml")], capture_output=True, text=True
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_a_real_prometheus_rings_through_alertmanager_when_the_detector_is_stale(
    tmp_path: Path, alertmanager: Alertmanager, http_server: Callable[[], Any], free_port: Callable[[], int]
) -> None:
    exporter, port = http_server(), free_port()
    stale = f"driftbell_detector_last_success_timestamp_seconds {time.time() - 3600}\n"
    exporter.answer = lambda _: (200, {"Content-Type": "text/plain; version=0.0.4"}, stale.encode())
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": "driftbell", "static_configs": [{"targets": [exporter.url.removeprefix("http://")]}]}
        ],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.url.removeprefix("http://")]}]}]},
    }
    (tmp_path / "prom.yml").write_text(json.dumps(config))
    url = f"http://127.0.0.1:{port}"
    with (
        alertmanager.run(),
        running(
            program("prometheus"),
            f"--config.file={tmp_path / 'prom.yml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            ready=url + "/-/ready",
        ),
    ):
        eventually(lambda: ("/pager", "firing") in alertmanager.notified())
    assert alertmanager.hooks.got[0].json["alerts"][0]["labels"]["alertname"] == "DriftbellDetectorStale"
