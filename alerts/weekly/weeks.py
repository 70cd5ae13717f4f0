"""Local weeks, Monday to Sunday, as half-open intervals of epoch seconds in the reader's zone."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAYS_SHORT = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WEEK_DAYS = 7
USUAL_WEEKS = 4
"""A week is compared with the four before it."""
EARLIER_WEEKS = 8
"""Weeks before those, which tell how much weeks vary and nothing else."""
HOUR = 3600


def local_midnight(day: date, zone: ZoneInfo) -> float:
    """Epoch second at which a local day starts (its first moment where midnight is skipped or comes twice)."""
    return datetime.combine(day, time(), zone).timestamp()


def local_date(ts: float, zone: ZoneInfo) -> date:
    """The local calendar day that holds ``ts``."""
    return datetime.fromtimestamp(ts, zone).date()


@dataclass(frozen=True)
class Week:
    """One local week; ``start <= ts < end``. A week with a change of the clocks has 167 or 169 hours."""

    monday: date
    zone_name: str = "UTC"

    @cached_property
    def zone(self) -> ZoneInfo:
        """The reader's zone."""
        return ZoneInfo(self.zone_name)

    @cached_property
    def start(self) -> float:
        """First second of the week."""
        return local_midnight(self.monday, self.zone)

    @cached_property
    def end(self) -> float:
        """First second after the week."""
        return local_midnight(self.monday + timedelta(days=WEEK_DAYS), self.zone)

    def earlier(self, weeks: int) -> "Week":
        """The week so many weeks before."""
        return Week(self.monday - timedelta(weeks=weeks), self.zone_name)

    @property
    def name(self) -> str:
        """ISO name, as the command line takes it: ``2026-W46``."""
        year, number, _ = self.monday.isocalendar()
        return f"{year}-W{number:02d}"

    @property
    def label(self) -> str:
        """``9-15 Nov``, read back from the very interval that is queried."""
        first, last = local_date(self.start, self.zone), local_date(self.end - 1, self.zone)
        left = f"{first.day}" if first.month == last.month else f"{first.day} {MONTHS[first.month - 1]}"
        year = f" {first.year}" if first.year != last.year else ""
        right_year = f" {last.year}" if year else ""
        return f"{left}{year}-{last.day} {MONTHS[last.month - 1]}{right_year}"


def week_named(name: str, zone_name: str = "UTC") -> Week:
    """The week of an ISO name such as ``2026-W46``; raises ValueError for anything else."""
    try:
        year, _, number = name.partition("-W")
        return Week(date.fromisocalendar(int(year), int(number), 1), zone_name)
    except ValueError:
        raise ValueError(f"{name!r} is no week: write it as 2026-W46") from None


def last_full_week(now: float, zone_name: str = "UTC") -> Week:
    """The latest week that has ended at ``now``."""
    today = local_date(now, ZoneInfo(zone_name))
    return Week(today - timedelta(days=today.weekday() + WEEK_DAYS), zone_name)


class Days:
    """The 35 local days of a week and its four usual weeks; day 0 is the oldest, days 28..34 are the week."""

    count = WEEK_DAYS * (USUAL_WEEKS + 1)

    def __init__(self, week: Week) -> None:
        first = week.earlier(USUAL_WEEKS).monday
        self.week = week
        self.dates = [first + timedelta(days=i) for i in range(self.count)]
        self.edges = [local_midnight(first + timedelta(days=i), week.zone) for i in range(self.count + 1)]
        self.start, self.end = self.edges[0], self.edges[-1]
        self.whole_hours = all(edge % HOUR == 0 for edge in self.edges)
        """Whether hour points may be used: in some zones a local day starts at half past a UTC hour."""
        self.whole_days = all(edge % (24 * HOUR) == 0 for edge in self.edges)
        """Whether day points, which are UTC days, may be used."""

    @cached_property
    def earlier(self) -> list[float]:
        """Where the earlier weeks begin, the oldest first, and where the last of them ends."""
        first = USUAL_WEEKS + EARLIER_WEEKS
        return [self.week.earlier(first - i).start for i in range(EARLIER_WEEKS + 1)]

    def earlier_index(self, ts: float) -> int | None:
        """Which of the earlier weeks holds the noon of the day that starts at ``ts``; None before and after them.

        Days may be those of UTC: for how much weeks vary it does not matter where exactly they begin.
        """
        noon = ts + 12 * HOUR
        return bisect_right(self.earlier, noon) - 1 if self.earlier[0] <= noon < self.start else None

    def index(self, ts: float) -> int | None:
        """Which day holds ``ts``; None outside the five weeks."""
        return bisect_right(self.edges, ts) - 1 if self.start <= ts < self.end else None


def at_in_week(ts: float, zone: ZoneInfo, *, day: bool = False) -> str:
    """``Tue 09:14``, for a moment of a week that is named elsewhere; with ``day`` only ``Tue``."""
    at = datetime.fromtimestamp(ts, UTC).astimezone(zone)
    return DAYS_SHORT[at.weekday()] + ("" if day else f" {at:%H:%M}")


def in_words(ts: float, zone: ZoneInfo) -> str:
    """``Tue 10 Nov 09:14``, in the reader's zone."""
    at = datetime.fromtimestamp(ts, UTC).astimezone(zone)
    return f"{DAYS_SHORT[at.weekday()]} {at.day} {MONTHS[at.month - 1]} {at:%H:%M}"
