"""What `driftbell doctor` says of a channel that refuses: why, and what to do about it."""

import re
from pathlib import Path

import pytest

from driftbell.alerts import channels
from driftbell.alerts.channels.build import build_channels
from driftbell.alerts.channels.delivery import DeliveryError
from driftbell.alerts.settings import AlertSettings
from driftbell.service.checkup import REMEDIES
from driftbell.service.checkup import channels as checked

HOOK = {"kind": "webhook", "url": "http://127.0.0.1:1", "secrets": ["env:CHECKUP_HOOK"]}


def test_a_channel_that_refuses_says_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKUP_HOOK", "whsec_" + "QUFB" * 10)
    built = build_channels(AlertSettings.model_validate({"channels": {"hook": HOOK}}))
    (check,) = checked(built, send=True, now=0.0)
    assert check.verdict == "bad"
    assert check.text == f"hook did not take the test message (unreachable): {REMEDIES['unreachable']}"


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
