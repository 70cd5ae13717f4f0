"""The frozen letter as an e-mail: the same bytes each time it is made."""

import hashlib
from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from driftbell.alerts.weekly.periods import Frozen
from driftbell.alerts.weekly.settings import Recipient
from driftbell.alerts.wording import utc


def mail_of(
    frozen: Frozen, recipient: Recipient, sender: str, unsubscribe: str | None = None, to: Sequence[str] = ()
) -> EmailMessage:
    """The mail of one period; ``to`` replaces the recipient's addresses, for a trial.

    The Message-ID belongs to the period, so that a mail sent twice is one mail; all weeks of a recipient refer to
    the same thread. ``unsubscribe`` is an https or mailto address; https offers one click (RFC 8058).
    """
    domain = sender.rpartition("@")[2]
    who = hashlib.sha256(recipient.name.encode()).hexdigest()[:16]
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = frozen.rendered.subject
    mail["From"] = Address("driftbell", addr_spec=sender)
    mail["To"] = tuple(Address(addr_spec=address) for address in (to or recipient.email))
    mail["Date"] = format_datetime(utc(frozen.frozen_at))
    mail["Message-ID"] = f"<weekly.{frozen.period}.{who}@{domain}>"
    mail["References"] = f"<weekly.{who}@{domain}>"
    mail["List-ID"] = f"driftbell weekly summary <weekly.{who}.{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    if unsubscribe is not None:
        mail["List-Unsubscribe"] = f"<{unsubscribe}>"
        if unsubscribe.startswith("https://"):
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(frozen.rendered.text)
    mail.add_alternative(frozen.rendered.html, subtype="html")
    mail.set_boundary(f"=-{hashlib.sha256(frozen.rendered.text.encode()).hexdigest()[:32]}")
    return mail
