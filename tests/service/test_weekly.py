"""The weekly summary in the service: its job sends, rings when it cannot, and its commands tell the same numbers."""

import socket
from datetime import UTC, datetime

import pytest
from aiosmtpd.controller import Controller

from driftbell.alerts.history import listed
from driftbell.collectors.batch import Batch
from driftbell.collectors.call import Call
from driftbell.service.app import open_store
from driftbell.service.config import Config
from driftbell.service.rounds import Rounds

MONDAY = datetime(2026, 11, 16, 7, tzinfo=UTC).timestamp()
"""08:00 in Berlin after the week 2026-W46."""
DAY = 86_400


class Inbox:
    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 the name aiosmtpd calls
        self.mails.append(envelope.content)
        return "250 kept"


@pytest.fixture
def inbox():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = Inbox()
    controller = Controller(kept, hostname="127.0.0.1", port=port)
    controller.start()
    kept.port = port
    yield kept
    controller.stop()


class Service:
    """The weekly job over a real store, with a clock that tests move."""

    def __init__(self, folder, port: int) -> None:
        self.now = MONDAY - DAY
        self.config = Config.model_validate(
            {
                "data_dir": folder,
                "weekly": {"recipients": [{"name": "claims", "email": ["po@example.org"], "zone": "Europe/Berlin"}]},
                "alerts": {
                    "channels": {
                        "mail": {
                            "kind": "email",
                            "host": "127.0.0.1",
                            "port": port,
                            "tls": "none",
                            "sender": "driftbell@example.org",
                            "to": ["ops@example.org"],
                        }
                    },
                    "routes": [{"channels": ["mail"]}],
                },
            }
        )
        self.store = open_store(self.config, lambda: self.now)
        self.rounds = Rounds(self.store, self.config, lambda: self.now)

    def fill(self) -> None:
        """A call an hour of two features for five weeks."""
        calls = [
            Call(MONDAY - hour * 3600, name, model="m", cost_usd=0.01, trace_id=f"{i:032x}", span_id=f"{hour:016x}")
            for i, name in enumerate(("claims-triage", "letters"), 1)
            for hour in range(24 * 36)
        ]
        self.store.append(Batch(calls=calls))


@pytest.fixture
def service(tmp_path, inbox):
    made = Service(tmp_path / "data", inbox.port)
    yield made
    made.store.close()


def test_the_job_sends_each_summary_once(service, inbox):
    service.fill()
    service.rounds.weekly()
    assert inbox.mails == []
    service.now = MONDAY
    for _ in range(3):
        service.rounds.weekly()
    assert len(inbox.mails) == 1


def test_the_job_rings_when_a_summary_is_not_out_in_time(service, inbox, monkeypatch):
    service.rounds.weekly()
    service.now = MONDAY + 4 * 3600

    def broken(*_):
        raise RuntimeError("disk on fire")

    with monkeypatch.context() as patch:
        patch.setattr(service.store, "workflows", broken)
        with pytest.raises(RuntimeError, match="disk on fire"):
            service.rounds.weekly()
    (incident,) = listed(service.store.read(), "all")
    assert "weekly summary is overdue" in incident.subject
    assert inbox.mails == []
