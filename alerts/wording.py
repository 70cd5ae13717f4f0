"""How numbers, money, times and severities are written, in every channel alike."""

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

SEVERITY_WORDS = {"page": "PAGE", "ticket": "TICKET", "info": "INFO"}
TINY = 1e-12
"""Below this nothing is told apart from nothing."""
SEVERITY_ORDER = ("info", "ticket", "page")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def money(usd: float) -> str:
    """US dollars for a person: ``$1,234``, ``$4.20``, ``5.3c``, ``0.32c``; two figures that matter below a dollar."""
    sign, size = ("-" if usd < 0 else ""), abs(usd)
    if size == 0:
        return "$0"
    if size >= 9.995:
        return f"{sign}${size:,.0f}"
    if size >= 0.995:
        return f"{sign}${size:.2f}"
    return f"{sign}{significant(size * 100)}c"


def signed_money(usd: float) -> str:
    """`money` with its sign, for a difference."""
    return ("+" if usd >= 0 else "") + money(usd)


def significant(value: float, figures: int = 2) -> str:
    """A non-negative number with ``figures`` that matter, without an exponent: ``0.00032``, ``5.3``, ``42``."""
    if value < TINY:
        return "0"
    digits = figures - 1 - math.floor(math.log10(value))
    rounded = round(value, digits)
    return f"{rounded:,.{max(0, min(digits, 12))}f}"


def percent(share: float) -> str:
    """A share (0..1) in percent; one decimal below 10 %."""
    value = share * 100
    return f"{value:.1f}%" if 0 < abs(value) < 9.95 else f"{value:.0f}%"


def quantity(value: float, unit: str) -> str:
    """``value`` in the unit of a finding (``usd``, ``usd/h``, ``tokens``, ``ms``, ``share``, ``score``, ...)."""
    if unit == "usd":
        return money(value)
    if unit == "usd/h":
        return f"{money(value)}/hour"
    if unit == "share":
        return percent(value)
    if unit == "ms":
        return milliseconds(value)
    if unit == "score":
        return f"{value:.2f}"
    amount = f"{value:,.0f}" if abs(value) >= 100 else significant_signed(value)
    return {"days": f"{amount} days", "calls/h": f"{amount}/hour"}.get(unit, amount)


def significant_signed(value: float) -> str:
    """`significant` for any number."""
    return ("-" if value < 0 else "") + significant(abs(value))


def milliseconds(value: float) -> str:
    """A response time: ``0.074 ms``, ``840 ms``, ``4.2 s``, ``42 s``, ``3 min``."""
    if 0 < value < 9.95:
        return f"{significant(value)} ms"
    if value < 999.5:
        return f"{value:.0f} ms"
    seconds = value / 1000
    return f"{significant(seconds)} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def change(observed: float, usual: float, unit: str) -> str:
    """How much it moved: in points for a share, else in percent of the usual, or as a multiple from 3 times up.

    Without sign, the phrase says the direction; empty when nothing can be said (usual is zero).
    """
    if unit == "share":
        return f"{significant(abs(observed - usual) * 100)} points" if observed != usual else ""
    if usual <= TINY or observed == usual:
        return ""
    if observed / usual >= 1000:
        return "over 1,000 times"
    if observed / usual >= 3:
        return f"{significant(observed / usual)} times"
    return f"{abs(observed - usual) / usual * 100:.0f}%"


def duration(seconds: float) -> str:
    """A length of time: ``45 s``, ``17 min``, ``31 h 24 min``, ``3 d 4 h``."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 72:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def moment(ts: float, zone: str) -> str:
    """A time in the reader's zone and in UTC: ``Tue 10 Nov 10:14 (09:14 UTC)``; the day again where it differs."""
    here = utc(ts)
    if zone == "UTC":
        return f"{_day(here)} {here:%H:%M} UTC"
    local = here.astimezone(ZoneInfo(zone))
    if local.utcoffset() == here.utcoffset():
        return f"{_day(local)} {local:%H:%M} (UTC)"
    same_day = local.date() == here.date()
    return f"{_day(local)} {local:%H:%M} ({'' if same_day else _day(here) + ' '}{here:%H:%M} UTC)"


def utc(ts: float) -> datetime:
    """The time as a datetime in UTC."""
    return datetime.fromtimestamp(ts, UTC)


def _day(when: datetime) -> str:
    return f"{_DAYS[when.weekday()]} {when.day} {_MONTHS[when.month - 1]}"
