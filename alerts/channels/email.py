"""E-mail by SMTP: one thread per incident, a text and an HTML form of the same facts.

The subject stays the same over the whole thread, because mail programs thread on it; the state is the first line of
the body. Mail has no duplicates key, so a repeated message keeps its Message-ID.
"""

import logging
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from driftbell.alerts.channels.delivery import DeliveryError
from driftbell.alerts.links import Linker
from driftbell.alerts.message import Message
from driftbell.alerts.plain import plain
from driftbell.alerts.render import as_html, as_text
from driftbell.alerts.secret import resolve
from driftbell.alerts.settings import EmailSection
from driftbell.alerts.wording import utc

log = logging.getLogger(__name__)


class EmailChannel:
    """Sends to one list of people through one SMTP server."""

    def __init__(self, name: str, section: EmailSection, zone: str, linker: Linker) -> None:
        self.name, self._section, self._zone, self._linker = name, section, zone, linker

    def send(self, message: Message, ref: dict[str, str]) -> dict[str, str]:
        """Mail ``message``; see `Channel.send`. Keeps the Message-ID of the thread's first mail."""
        mail = compose(message, self._section, self._zone, self._linker, ref.get("root"))
        deliver(mail, self._section)
        return {"root": ref.get("root") or str(mail["Message-ID"])}


def compose(message: Message, section: EmailSection, zone: str, linker: Linker, root: str | None) -> EmailMessage:
    """The mail for ``message``; ``root`` is the Message-ID of the first one of its thread, if there was one."""
    links = linker.links(message)
    domain = section.sender.rpartition("@")[2]
    own = f"<{message.event_id}@{domain}>"
    mail = EmailMessage()
    mail["Subject"] = plain(message.subject or message.title)
    mail["From"] = Address("driftbell", addr_spec=section.sender)
    mail["To"] = tuple(Address(addr_spec=to) for to in section.to)
    mail["Date"] = format_datetime(utc(message.at))
    mail["Message-ID"] = own
    if root and root != own:
        mail["In-Reply-To"] = root
        mail["References"] = root
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail["X-Driftbell-Event"] = message.event_id
    if message.severity == "page":
        mail["Importance"] = "high"
    mail.set_content(as_text(message, zone, links))
    mail.add_alternative(as_html(message, zone, links), subtype="html")
    return mail


def deliver(mail: EmailMessage, section: EmailSection) -> None:
    """Hand ``mail`` to the SMTP server of ``section``; raises DeliveryError. Taken for some only is logged."""
    try:
        with _connect(section) as server:
            if section.tls == "starttls":
                server.starttls(context=ssl.create_default_context())
            if section.user and section.password:
                server.login(section.user, resolve(section.password))
            _hand_over(server, mail)
    except smtplib.SMTPAuthenticationError:
        raise DeliveryError("auth_error", permanent=True) from None
    except smtplib.SMTPRecipientsRefused as error:
        final = all(code >= 500 for code, _ in error.recipients.values())
        raise DeliveryError("recipients_refused", permanent=final) from None
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(f"refused_{error.smtp_code}", permanent=error.smtp_code >= 500) from None
    except smtplib.SMTPNotSupportedError:
        raise DeliveryError("no_starttls", permanent=True) from None
    except TimeoutError:
        raise DeliveryError("timeout") from None
    except ssl.SSLError:
        raise DeliveryError("tls_failed") from None
    except (smtplib.SMTPException, OSError):
        raise DeliveryError("unreachable") from None


def _hand_over(server: smtplib.SMTP, mail: EmailMessage) -> None:
    """Send; a connection that breaks here may have done so after the server took the mail (``connection_lost``)."""
    try:
        refused = server.send_message(mail)
    except (smtplib.SMTPServerDisconnected, TimeoutError, ConnectionError):
        raise DeliveryError("connection_lost") from None
    if refused:
        log.warning("a mail was taken, but not for all: %d recipients were refused", len(refused))


def _connect(section: EmailSection) -> smtplib.SMTP:
    if section.tls == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(section.host, section.port, timeout=section.timeout, context=context)
    return smtplib.SMTP(section.host, section.port, timeout=section.timeout)
