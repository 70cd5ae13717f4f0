"""What `driftbell doctor` says of a channel that refuses: why, and what to do about it."""

import re
import socket
from pathlib import Path

import pytest

from driftbell.alerts import channels
from driftbell.alerts.channels.build import build_channels
from driftbell.alerts.channels.delivery import DeliveryError
from driftbell.alerts.settings import AlertSettings
from driftbell.service.checkup import REMEDIES, shared_store
from driftbell.service.checkup import channels as checked
from driftbell.service.config import Config

HOOK = {"kind": "webhook", "url": "http://127.0.0.1:1", "secrets": ["env:CHECKUP_HOOK"]}


def test_a_channel_that_refuses_says_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKUP_HOOK", "whsec_" + "QUFB" * 10)
    built = build_channels(AlertSettings.model_validate({"channels": {"hook": HOOK}}))
    (check,) = checked(built, send=True, now=0.0)
    assert check.verdict == "bad"
    assert check.text == f"hook did not take the test message (unreachable): {REMEDIES['unreachable']}"


def test_a_clickhouse_that_does_not_answer_is_told_before_anything_starts(tmp_path: Path) -> None:
    pytest.importorskip("clickhouse_connect", reason="pip install -r requirements-clickhouse.lock")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        store = f"clickhouse://jane@127.0.0.1:{taken.getsockname()[1]}/driftbell"
        (check,) = shared_store(Config.model_validate({"data_dir": tmp_path, "store": store}))
    assert (check.name, check.verdict) == ("clickhouse", "bad")
    assert check.text.startswith("nothing answers at the address of ClickHouse")
    assert list(shared_store(Config(data_dir=tmp_path))) == []


def test_a_secret_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHECKUP_HOOK", raising=False)
    built = build_channels(AlertSettings.model_validate({"channels": {"hook": HOOK}}))
    (check,) = checked(built, send=True, now=0.0)
    assert "env:CHECKUP_HOOK is empty or not set" in check.text


def test_every_remedy_is_for_a_reason_that_a_channel_gives() -> None:
    code = "".join(path.read_text() for path in Path(channels.__path__[0]).glob("*.py"))
    given = set(re.findall(r'"([a-z_]+)"', code))
    assert set(REMEDIES) <= given
    assert str(DeliveryError("unreachable")) in REMEDIES
