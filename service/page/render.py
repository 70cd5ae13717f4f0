"""Templates, and how names, numbers and times are written in them."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from driftbell.alerts import wording
from driftbell.alerts.plain import plain
from driftbell.service.page import reasons
from driftbell.service.page.guard import READER

FOLDER = Path(__file__).parent
MISSING = Markup('<span class="none" title="not known">–</span>')
"""What stands for a value that is not known; it is never zero."""
SHORT = 60


def url(path: str, /, **given: object) -> str:
    """``path`` with the parameters that are given, in a stable order."""
    asked = {name: value for name, value in given.items() if value is not None and value != ""}
    return path + (f"?{urlencode(asked, quote_via=quote)}" if asked else "")


def named(text: str | None, limit: int = SHORT) -> Markup:
    """A name from outside: one bounded line, isolated from the direction of the text around it."""
    if text is None:
        return MISSING
    shown = plain(text, limit)
    whole = plain(text, 400)
    title = Markup(' title="{}"').format(whole) if whole != shown else ""
    return Markup("<bdi{}>{}</bdi>").format(title, shown or "(no name)")


def moment(ts: float | None, form: str = "minute") -> Markup:
    """A time that the script of the page turns into the reader's zone; in UTC without it."""
    if ts is None:
        return MISSING
    when = datetime.fromtimestamp(ts, UTC)
    pattern = {"day": "%a %-d %b %Y", "second": "%-d %b %H:%M:%S UTC"}.get(form, "%a %-d %b %H:%M UTC")
    return Markup('<time datetime="{}" data-form="{}">{}</time>').format(
        when.strftime("%Y-%m-%dT%H:%M:%SZ"), form, when.strftime(pattern)
    )


def count(value: float | None) -> str | Markup:
    """A whole number with thousands apart, shortened from ten thousand on: ``9,431``, ``52k``, ``1.2M``."""
    if value is None:
        return MISSING
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size * 0.9995:
            amount = value / (1e3 if letter == "k" else size)
            return f"{amount:,.1f}".removesuffix(".0") + letter if abs(amount) < 99.95 else f"{amount:,.0f}{letter}"
    return f"{value:,.0f}"


def _known(write: Callable[..., str]) -> Callable[..., str | Markup]:
    def written(value: float | None, *more: str) -> str | Markup:
        return MISSING if value is None else write(value, *more)

    return written


def ago(seconds: float) -> str:
    """How long ago: ``just now``, ``17 min ago``."""
    return "just now" if seconds < 60 else f"{wording.duration(seconds)} ago"


@lru_cache
def asset(name: str) -> str:
    """The address of a static file; it changes with its content, so that browsers may keep it."""
    return f"/static/{name}?v={sha256((FOLDER / 'static' / name).read_bytes()).hexdigest()[:10]}"


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals.update(url=url, asset=asset, ago=ago, missing=MISSING)
_TEMPLATES.filters.update(
    name=named,
    time=moment,
    count=count,
    money=_known(wording.money),
    signed_money=_known(wording.signed_money),
    percent=_known(wording.percent),
    ms=_known(wording.milliseconds),
    quantity=_known(wording.quantity),
    duration=_known(wording.duration),
    words=reasons.words,
    sentence=reasons.sentence,
    plain=lambda text, limit=SHORT: plain(text or "", limit),
)


def page(request: Request, template: str, status: int = 200, /, **values: object) -> HTMLResponse:
    """One page as a response to who asks."""
    shown = _TEMPLATES.get_template(template).render(values, reader=request.scope[READER])
    return HTMLResponse(shown, status_code=status)
