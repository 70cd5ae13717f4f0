"""The weekly summary in the service: its job sends, rings when it cannot, and its commands tell the same numbers."""

import json
import re
import shlex
import socket
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
import yaml
from aiosmtpd.controller import Controller
from driftbell_process import driftbell

from driftbell.alerts import actions
from driftbell.alerts.history import listed
from driftbell.alerts.incident import apply
from driftbell.alerts.summary import summarise
from driftbell.alerts.weekly import archive, readers
from driftbell.alerts.weekly.settings import EVERYONE, WeeklySettings
from driftbell.alerts.weekly.weeks import week_named
from driftbell.collectors.batch import Batch
from driftbell.collectors.call import Call
from driftbell.detectors.finding import Cause, Finding
from driftbell.service import weekly
from driftbell.service.app import open_store
from driftbell.service.config import Config
from driftbell.service.rounds import Rounds

MONDAY = datetime(2026, 11, 16, 7, tzinfo=UTC).timestamp()
"""08:00 in Berlin after the week 2026-W46."""
WEEK = week_named("2026-W46")
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


def configured(folder, port: int) -> dict[str, object]:
    """The configuration as it stands in a file."""
    mail = {"kind": "email", "host": "127.0.0.1", "port": port, "tls": "none", "sender": "driftbell@example.org"}
    reader = {"name": "claims", "email": ["po@example.org"], "zone": "Europe/Berlin"}
    return {
        "data_dir": str(folder),
        "public_prices": False,
        "weekly": {"recipients": [reader], "page": "https://driftbell.example.org"},
        "alerts": {"channels": {"mail": {**mail, "to": ["ops@example.org"]}}, "routes": [{"channels": ["mail"]}]},
    }


class Service:
    """The weekly job over a real store, with a clock that tests move."""

    def __init__(self, folder, port: int) -> None:
        self.now = MONDAY - DAY
        self.config = Config.model_validate(configured(folder, port))
        self.store = open_store(self.config, lambda: self.now)
        self.rounds = Rounds(self.store, self.config, lambda: self.now)

    def fill(self) -> None:
        """A call an hour of two features for five weeks; claims become dearer in the last."""
        calls = [
            Call(
                MONDAY - hour * 3600,
                name,
                model="m",
                input_tokens=100,
                usage_source="provider",
                cost_usd=0.03 if name == "claims-triage" and hour < 24 * 7 else 0.01,
                trace_id=f"{i:032x}",
                span_id=f"{hour:016x}",
            )
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


@pytest.fixture
def command(service, tmp_path, inbox):
    """Runs `driftbell` with the configuration of the service."""
    file = tmp_path / "driftbell.yaml"
    file.write_text(yaml.safe_dump(configured(tmp_path / "data", inbox.port)))
    return lambda *arguments: driftbell(*arguments, DRIFTBELL_CONFIG=str(file))


def sent(inbox) -> EmailMessage:
    return message_from_bytes(inbox.mails[-1], policy=policy.default)


def test_every_command_in_the_mail_computes_the_numbers_that_the_mail_shows(service, inbox, command):
    service.fill()
    service.rounds.weekly()
    service.now = MONDAY
    service.rounds.weekly()
    text = sent(inbox).get_body(("plain",)).get_content()
    kept = archive.load(service.store.read(), "claims", "2026-W46")
    commands = set(re.findall(r"driftbell summary --week .* --format json", text))
    assert len(commands) == 2
    by_name = {one["workflow"]: one for one in kept["workflows"]}
    for line in commands:
        ended = command(*shlex.split(line)[1:])
        assert ended.returncode == 0, ended.stderr
        again = json.loads(ended.stdout)["workflows"]
        assert again == [by_name[one["workflow"]] for one in again]
    assert all(figure["recompute"] in commands for figure in by_name["claims-triage"]["figures"])
    table = kept["letter"]["table"]["rows"]
    assert [row["cells"][0] for row in table] == ["claims-triage", "All 2 together"]
    assert all(cell in text for row in table for cell in row["cells"])


def test_false_pages_are_those_that_people_called_false(service):
    service.fill()
    for number, verdict in enumerate(("false_alarm", "seen", None)):
        finding = Finding(
            ts=MONDAY - 3 * DAY,
            transition="fired",
            workflow=("claims-triage", "letters", "a third")[number],
            family="cost",
            metric="cost_per_call",
            direction=1,
            unit="usd",
            severity="page",
            started_at=MONDAY - 3 * DAY,
            n=300,
            observed=2.0,
            usual=1.0,
            cause=Cause(),
        )
        with service.store.write() as tx:
            apply(tx, [finding], MONDAY - 3 * DAY, service.config.alerts)
            (newest,) = [one for one in listed(tx, "open") if one.workflow == finding.workflow]
            if verdict is not None:
                actions.acknowledge(tx, newest.id, "ana", MONDAY - 2 * DAY, service.config.alerts, verdict)
    summary = summarise(weekly.source(service.store, service.config), WeeklySettings(), EVERYONE, WEEK)
    alarms = summary.data["alarms"]
    assert (alarms["pages"], alarms["acknowledged"], alarms["false_pages"]) == (3, 2, 1)
    assert alarms["promised_false_pages"] == pytest.approx(2 * 28 / 30.44)


def test_an_unknown_workflow_is_one_line_with_the_nearest_name(service, command):
    service.fill()
    ended = command("summary", "--workflow", "claim-triage")
    assert ended.returncode == 1
    assert ended.stderr == "error: there is no workflow 'claim-triage'; did you mean 'claims-triage'?\n"
    assert ended.stdout == ""


def test_a_dry_run_tells_to_whom_it_would_go_and_goes_only_where_it_is_told(service, inbox, command):
    service.fill()
    told = command("summary", "--recipient", "claims", "--week", "2026-W46", "--dry-run")
    assert told.stdout.startswith("would go to po@example.org; nothing was sent.")
    assert inbox.mails == []
    trial = command("summary", "--recipient", "claims", "--week", "2026-W46", "--dry-run", "--to", "me@example.org")
    assert trial.stdout == "sent to me@example.org\n"
    assert sent(inbox)["To"] == "me@example.org"
    assert archive.stored(service.store.read()) == []


def test_one_click_leaves_the_summary_without_a_login_and_can_be_taken_back(serve, tmp_path):
    running = serve(tmp_path / "served", token="env:DRIFTBELL_TEST_TOKEN")
    store = running.service.store
    with store.write() as tx:
        token = readers.token_for(tx, "claims", "po@example.org", 0.0)
    path = f"{readers.PATH}/{token}"
    assert "Unsubscribe" in running.get(path).text
    assert readers.reader(store.read(), token).left_at is None
    one_click = {"data": "List-Unsubscribe=One-Click", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
    for _ in range(2):
        answer = running.post(path, allow_redirects=False, **one_click)
        assert (answer.status_code, "no more" in answer.text) == (200, True)
    assert readers.reader(store.read(), token).left_at is not None
    assert "You get this weekly summary." in running.post(path, data={"again": "1"}).text
    assert readers.reader(store.read(), token).left_at is None
    assert running.post(f"{readers.PATH}/guessed", **one_click).status_code == 404
    assert running.post(path, data=b"x" * 5000).status_code == 413


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("DRIFTBELL_TEST_TOKEN", "t" * 24)
