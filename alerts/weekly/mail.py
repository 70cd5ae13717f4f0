"""The frozen letter as an e-mail to one address: the same bytes each time it is made."""

import hashlib
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape

from driftbell.alerts.weekly.periods import Frozen
from driftbell.alerts.weekly.readers import PATH
from driftbell.alerts.wording import utc

ONE_CLICK = "List-Unsubscribe=One-Click"


def mail_of(frozen: Frozen, address: str, sender: str, leave: str | None = None) -> EmailMessage:
    """The mail of one period to one address.

    The Message-ID belongs to the period and the address, so that a mail sent twice is one mail; all weeks of an
    address refer to the same thread. ``leave`` is an http(s) or mailto address; https offers one click (RFC 8058).
    One that ends in a token replaces the address without it, which the letter was frozen with.
    """
    domain = sender.rpartition("@")[2]
    who = hashlib.sha256(f"{frozen.recipient}\n{address.lower()}".encode()).hexdigest()[:16]
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = frozen.rendered.subject
    mail["From"] = Address("driftbell", addr_spec=sender)
    mail["To"] = Address(addr_spec=address)
    mail["Date"] = format_datetime(utc(frozen.frozen_at))
    mail["Message-ID"] = f"<weekly.{frozen.period}.{who}@{domain}>"
    mail["References"] = f"<weekly.{who}@{domain}>"
    mail["List-ID"] = f"driftbell weekly summary <weekly.{who}.{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    if leave is not None:
        mail["List-Unsubscribe"] = f"<{leave}>"
        if leave.startswith("https://"):
            mail["List-Unsubscribe-Post"] = ONE_CLICK
    text, html = _personal(frozen.rendered.text, leave), _personal(frozen.rendered.html, leave, quoted=True)
    mail.set_content(text)
    mail.add_alternative(html, subtype="html")
    mail.set_boundary(f"=-{hashlib.sha256(text.encode()).hexdigest()[:32]}")
    return mail


def _personal(body: str, leave: str | None, *, quoted: bool = False) -> str:
    """The body with the reader's own link in place of the address that is the same for all."""
    if leave is None or PATH + "/" not in leave:
        return body
    shared = leave.rpartition("/")[0]
    return body.replace(escape(shared), escape(leave)) if quoted else body.replace(shared, leave)
