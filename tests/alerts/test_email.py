"""Mail as a real SMTP server receives it: one thread, two forms, nothing that a name could break."""

import email
import email.policy
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from driftbell.alerts.channels.delivery import DeliveryError
from driftbell.alerts.channels.email import EmailChannel
from driftbell.alerts.links import Linker
from driftbell.alerts.message import Message
from driftbell.alerts.settings import AlertSettings, EmailSection, Links

POSTFIX = shutil.which("postfix") or "/usr/sbin/postfix"


class Inbox:
    """Keeps what arrives; refuses recipients at ``gone.example`` for good and at ``later.example`` for now."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address.endswith("gone.example"):
            return "550 no such user"
        if address.endswith("later.example"):
            return "451 try later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
        return "250 OK"


@pytest.fixture
def inbox(free_port: Callable[[], int]) -> Iterator[tuple[Inbox, int]]:
    handler = Inbox()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield handler, controller.port
    finally:
        controller.stop()


def channel(port: int, *to: str, zone: str = "Europe/Berlin") -> EmailChannel:
    section = {
        "kind": "email", "host": "127.0.0.1", "port": port, "tls": "none", "sender": "bell@example.org",
        "to": to or ("oncall@example.org",),
        "timeout": 5,
    }  # fmt: skip
    settings = AlertSettings.model_validate({"channels": {"mail": section}})
    made = settings.channels["mail"]
    assert isinstance(made, EmailSection)
    return EmailChannel("mail", made, zone, Linker(Links(page_url="https://bell.example")))


@pytest.fixture
def say(t0: float) -> Callable[..., Message]:
    def make(transition: Any = "opened", seq: int = 1, **changes: Any) -> Message:
        message = Message(
            event_id=f"inc-1.{seq}", incident_id="inc-1", seq=seq, dedup_key="k", transition=transition,
            reason="new_incident", severity="page", family="cost", workflow="claims", metric="cost_per_call",
            noun="cost per call", title="claims: cost per call up 66%", subject="[PAGE] claims: cost per call up 66%",
            at=t0 + 1020, started_at=t0, opened_at=t0, cause="Prompt v14 went live.",
        )  # fmt: skip
        return replace(message, **changes)

    return make


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_an_incident_is_one_thread_with_one_subject(inbox: tuple[Inbox, int], say: Callable[..., Message]) -> None:
    mail, ref = channel(inbox[1]), dict[str, str]()
    for seq, transition in enumerate(["opened", "updated", "resolved"], 1):
        ref = mail.send(say(transition, seq), ref)
    first, *rest = inbox[0].mails
    assert {m["Subject"] for m in inbox[0].mails} == {"[PAGE] claims: cost per call up 66%"}
    assert [m["In-Reply-To"] for m in rest] == [first["Message-ID"]] * 2
    assert first["In-Reply-To"] is None
    assert len({m["Message-ID"] for m in inbox[0].mails}) == 3


def test_a_mail_that_is_sent_again_keeps_its_message_id(inbox: tuple[Inbox, int], say: Callable[..., Message]) -> None:
    channel(inbox[1]).send(say(), {})
    channel(inbox[1]).send(say(), {})
    first, second = inbox[0].mails
    assert first["Message-ID"] == second["Message-ID"]


def test_text_and_html_say_the_same(inbox: tuple[Inbox, int], say: Callable[..., Message]) -> None:
    channel(inbox[1]).send(say(), {})
    (mail,) = inbox[0].mails
    for fact in ("Prompt v14 went live.", "Tue 10 Nov 10:14 (09:14 UTC)", "driftbell explain inc-1"):
        assert fact in body(mail, "plain")
        assert fact in body(mail, "html")


def test_the_state_is_the_first_line(inbox: tuple[Inbox, int], say: Callable[..., Message]) -> None:
    channel(inbox[1]).send(say("unknown", 2, unknown_since=say().at), {})
    assert body(inbox[0].mails[0], "plain").startswith("[CANNOT TELL] claims: no data since")


def test_programs_are_told_not_to_answer(inbox: tuple[Inbox, int], say: Callable[..., Message]) -> None:
    channel(inbox[1]).send(say(), {})
    assert inbox[0].mails[0]["Auto-Submitted"] == "auto-generated"


def test_a_name_cannot_add_a_header(inbox: tuple[Inbox, int], say: Callable[..., Message]) -> None:
    hostile = "x\r\nBcc: victim@example.net\r\n\r\nbody"
    channel(inbox[1]).send(say(subject=hostile, title=hostile, workflow=hostile), {})
    (mail,) = inbox[0].mails
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]


def test_html_of_a_name_is_shown_and_not_run(inbox: tuple[Inbox, int], say: Callable[..., Message]) -> None:
    channel(inbox[1]).send(say(cause="<script>alert(1)</script><img src=x onerror=y>"), {})
    html = body(inbox[0].mails[0], "html")
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html


def test_html_is_far_below_the_size_at_which_mail_programs_clip(
    inbox: tuple[Inbox, int], say: Callable[..., Message]
) -> None:
    long = say(cause="c" * 240, evidence=("e" * 160,) * 3, others=("o" * 120,) * 8, ruled_out=("r" * 60,) * 8)
    channel(inbox[1]).send(long, {})
    assert len(body(inbox[0].mails[0], "html").encode()) < 80_000


@pytest.mark.parametrize(("to", "permanent"), [("a@gone.example", True), ("a@later.example", False)])
def test_a_refused_recipient_says_whether_to_try_again(
    inbox: tuple[Inbox, int], say: Callable[..., Message], to: str, permanent: bool
) -> None:
    with pytest.raises(DeliveryError) as caught:
        channel(inbox[1], to).send(say(), {})
    assert caught.value.permanent is permanent


def test_a_mail_that_some_get_is_sent_and_the_rest_is_logged(
    inbox: tuple[Inbox, int], say: Callable[..., Message], caplog: pytest.LogCaptureFixture
) -> None:
    channel(inbox[1], "a@example.org", "b@gone.example").send(say(), {})
    assert len(inbox[0].mails) == 1
    assert "1 recipients were refused" in caplog.text
    assert "gone.example" not in caplog.text


def test_no_server_is_worth_another_try(say: Callable[..., Message]) -> None:
    with pytest.raises(DeliveryError) as caught:
        channel(9).send(say(), {})
    assert (caught.value.reason, caught.value.permanent) == ("unreachable", False)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 with its key in one file."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("openssl is not installed (apt-get install openssl)")
    pem = tmp_path / "server.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bell.test",
               "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key.pem"),
               "-out", str(pem)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    pem.write_text(pem.read_text() + (tmp_path / "key.pem").read_text())
    return pem


@pytest.fixture
def guarded(certificate: Path, free_port: Callable[[], int]) -> Iterator[tuple[list[bytes], int]]:
    """A server that wants STARTTLS and a login; the passwords that it was shown, and its port."""
    shown: list[bytes] = []

    def check(server: Any, session: Any, envelope: Any, mechanism: str, login: Any) -> AuthResult:
        shown.append(login.password)
        return AuthResult(success=login.password == b"right", handled=False)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    controller = Controller(
        Inbox(), hostname="127.0.0.1", port=free_port(), tls_context=context, require_starttls=True,
        authenticator=check, auth_required=True,
    )  # fmt: skip
    controller.start()
    try:
        yield shown, controller.port
    finally:
        controller.stop()


def secured(port: int) -> EmailChannel:
    section = {"kind": "email", "host": "127.0.0.1", "port": port, "user": "bell", "password": "env:SMTP_PW",
               "sender": "bell@example.org", "to": ["oncall@example.org"], "timeout": 5}  # fmt: skip
    made = AlertSettings.model_validate({"channels": {"mail": section}}).channels["mail"]
    assert isinstance(made, EmailSection)
    return EmailChannel("mail", made, "UTC", Linker(Links()))


def test_it_logs_in_after_starttls(
    guarded: tuple[list[bytes], int], say: Callable[..., Message], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("SMTP_PW", "right")
    assert secured(guarded[1]).send(say(), {})["root"]


def test_a_wrong_password_is_told_at_once(
    guarded: tuple[list[bytes], int], say: Callable[..., Message], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("SMTP_PW", "wrong")
    with pytest.raises(DeliveryError) as caught:
        secured(guarded[1]).send(say(), {})
    assert (caught.value.reason, caught.value.permanent) == ("auth_error", True)


def test_a_server_that_cannot_prove_itself_is_shown_no_password(
    guarded: tuple[list[bytes], int], say: Callable[..., Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_PW", "right")
    with pytest.raises(DeliveryError, match="tls_failed"):
        secured(guarded[1]).send(say(), {})
    assert guarded[0] == []


MASTER = """127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""


@pytest.fixture
def postfix(inbox: tuple[Inbox, int], free_port: Callable[[], int]) -> Iterator[int]:
    """A Postfix of its own folder that relays to the test's inbox; the port on which it listens."""
    if not Path(POSTFIX).exists():
        pytest.skip("postfix is not installed (apt-get install postfix)")
    if os.geteuid() != 0:
        pytest.skip("postfix can only be started as root")
    port = free_port()
    home = Path(tempfile.mkdtemp(prefix="postfix-"))  # pytest's own folders are closed to the user postfix
    home.chmod(0o755)
    conf, queue, data, log = (home / name for name in ("conf", "queue", "data", "log"))
    for folder in (conf, queue, data, log):
        folder.mkdir()
    settings = {
        "compatibility_level": "3.6", "inet_interfaces": "127.0.0.1", "myhostname": "bell.test",
        "mydestination": "", "relayhost": f"[127.0.0.1]:{inbox[1]}", "disable_dns_lookups": "yes",
        "smtp_host_lookup": "native", "queue_directory": str(queue), "data_directory": str(data),
        "maillog_file_prefixes": str(log), "maillog_file": str(log / "mail.log"), "smtputf8_enable": "no",
        "multi_instance_enable": "no", "mynetworks": "127.0.0.0/8", "alternate_config_directories": str(conf),
        "inet_protocols": "ipv4",
    }  # fmt: skip
    (conf / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
    (conf / "master.cf").write_text(MASTER.format(port=port))
    subprocess.run(["chown", "postfix", str(data)], check=True)
    started = subprocess.run([POSTFIX, "-c", str(conf), "start"], capture_output=True, text=True, timeout=60)
    if started.returncode != 0:
        pytest.skip(f"postfix does not start here: {started.stderr.strip()[-200:]}")
    try:
        yield port
    finally:
        subprocess.run([POSTFIX, "-c", str(conf), "stop"], capture_output=True, timeout=60)
        shutil.rmtree(home, ignore_errors=True)


def test_a_real_postfix_takes_it_and_hands_it_on(
    postfix: int, inbox: tuple[Inbox, int], say: Callable[..., Message]
) -> None:
    mail = channel(postfix)
    ref = mail.send(say(), {})
    mail.send(say("resolved", 2), ref)
    deadline = time.monotonic() + 30
    while len(inbox[0].mails) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    by_id = {m["X-Driftbell-Event"]: m for m in inbox[0].mails}
    assert by_id["inc-1.2"]["In-Reply-To"] == by_id["inc-1.1"]["Message-ID"]
    assert re.search(r"by bell.test \(Postfix\)", str(by_id["inc-1.1"]["Received"]))
