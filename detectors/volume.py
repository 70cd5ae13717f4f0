"""How much traffic is normal, and three things that are not: one user's loop, a flood, and silence.

Counts of calls are seasonal and bursty, so nothing here alarms on a level alone: weekday cycle, holiday, growth and a
quiet night are normal. A loop is one user who outruns every heavy user seen before, within minutes or an hour (sessions
come in bursts, so minutes are compared with minutes); a flood is an hour beyond three
times the busiest hour of two weeks; silence is a gap more than five times as long as any of two weeks, counted in the
calls that it should have held at the pace of the hours before it (on a holiday there are few to miss). A surge that
begins on the hour at night looks like a scheduled job and is not reported until it has lasted ``BATCH`` seconds.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

BIN = 300
HOUR = 3600
DAY = 86400
BINS_PER_HOUR = HOUR // BIN
WINDOWS = (1, 2, 3, 4, 6, 12)
"""Bins over which a surge is looked for: 5 to 60 minutes."""
EVIDENCE = 12.0
"""Chernoff exponent of the Poisson tail beyond which a user's count is no coincidence (about 6e-6)."""
FEWEST = 10
"""Calls that a surge must have at least."""
HEAVIER = 1.3
"""How many times the calls of the heaviest user so far one may come to make; more while few days are known."""
FEWEST_MISSED = 100
"""Calls that a silence must have cost at least at usual traffic, so that a holiday is not silence."""
BATCH = 4 * HOUR
NIGHT = (20, 7)
"""UTC hours between which a surge that starts on the hour is taken for a scheduled job at first."""
REMEMBERED_DAYS = 14
DECAY = 0.9
PACE_MEMORY = 0.97
"""Per bin: the pace is that of the last three hours or so."""


@dataclass(frozen=True, slots=True)
class VolumeAlarm:
    """What the volume watch saw: ``observed`` and ``usual`` in calls an hour, ``n`` calls in ``window`` s."""

    kind: Literal["loop", "flood", "silence"]
    started_at: float
    observed: float
    usual: float
    n: int
    user_id: str | None = None
    window: int = HOUR


@dataclass(slots=True)
class Volume:
    """Traffic of one workflow: an hourly profile for working days and weekends, recent bins, and daily maxima.

    ``heaviest`` are the most calls of one user in an hour, ``bursts`` those in each of `WINDOWS`.
    ``pace`` holds decayed sums of the calls and of the usual ones, up to the last call.
    """

    profile: list[list[float]] = field(default_factory=lambda: [[0.0, 0.0] for _ in range(48)])
    recent: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    busiest: list[float] = field(default_factory=list)
    heaviest: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    today: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bursts: list[list[int]] = field(default_factory=list)
    burst: list[int] = field(default_factory=lambda: [0] * len(WINDOWS))
    hour_calls: int = 0
    day: int = -1
    last_call: float = 0.0
    missed: float = 0.0
    pace: tuple[float, float] = (0.0, 0.0)
    longest: float = 0.0
    gaps: list[float] = field(default_factory=list)
    surging_since: float | None = None
    calm_bins: int = 0
    alarm: VolumeAlarm | None = None

    def step(self, start: int, calls: int, users: dict[str, int]) -> VolumeAlarm | None:
        """Take in one bin; return an alarm when one begins."""
        if start // DAY != self.day:
            self._turn_day(start // DAY)
        self.recent.append((calls, users))
        del self.recent[:-BINS_PER_HOUR]
        fired = self._silence(start, calls) or self._surge(start)
        self.hour_calls += calls
        if (start + BIN) % HOUR == 0:
            self._turn_hour(start)
        if fired is not None:
            self.alarm = fired
        return fired

    def expect(self) -> None:
        """Remember the traffic of the alarm that is open among the days that traffic is compared with, and end it."""
        alarm = self.alarm
        if alarm is None:
            return
        if alarm.kind == "silence":
            self.gaps.append(self.missed)
            self.missed = 0.0
        else:
            self.busiest.append(max(alarm.observed, *self.busiest))
            if alarm.user_id is not None:
                part = alarm.n * HOUR / alarm.window
                self.heaviest.append(max(part, *self.heaviest))
                self.shares.append(max(part / max(alarm.observed, 1.0), *self.shares))
                self.bursts.append([round(alarm.n * min(bins * BIN / alarm.window, 1.0)) for bins in WINDOWS])
        self.alarm, self.calm_bins = None, 0

    def usual_per_hour(self, start: int) -> float | None:
        """Usual calls per hour at this time of the week; None while it is not known."""
        total, hours = self.profile[hour_slot(start)]
        return total / hours if hours >= 1.0 else None

    def _turn_hour(self, start: int) -> None:
        if self.alarm is None and self.surging_since is None:
            cell = self.profile[hour_slot(start)]
            cell[0] = cell[0] * DECAY + self.hour_calls
            cell[1] = cell[1] * DECAY + 1.0
        self.hour_calls = 0

    def _turn_day(self, day: int) -> None:
        if self.day >= 0:
            self.busiest = [*self.busiest, self.today[0]][-REMEMBERED_DAYS:]
            self.heaviest = [*self.heaviest, self.today[1]][-REMEMBERED_DAYS:]
            self.shares = [*self.shares, self.today[2]][-REMEMBERED_DAYS:]
            self.gaps = [*self.gaps, self.longest][-REMEMBERED_DAYS:]
            self.bursts = [*self.bursts, self.burst][-REMEMBERED_DAYS:]
        self.longest = 0.0
        self.today = (0.0, 0.0, 0.0)
        self.burst = [0] * len(WINDOWS)
        self.day = day

    def _silence(self, start: int, calls: int) -> VolumeAlarm | None:
        usual = self.usual_per_hour(start)
        part = self._part()
        if calls:
            if self.alarm is not None and self.alarm.kind == "silence":
                self.alarm = None
            else:
                self.longest = max(self.longest, self.missed * part)
            self.missed += (usual or 0.0) / BINS_PER_HOUR
            faded = PACE_MEMORY ** ((start + BIN - self.last_call) / BIN if self.last_call else 1.0)
            self.pace = (self.pace[0] * faded + calls, self.pace[1] * faded + self.missed)
            self.last_call = float(start + BIN)
            self.missed = 0.0
            return None
        if usual is None:
            return None
        self.missed += usual / BINS_PER_HOUR
        missed = self.missed * part
        if self.alarm is not None or len(self.gaps) < 7:
            return None
        if missed < max(FEWEST_MISSED, 5.0 * max(self.gaps)):
            return None
        return VolumeAlarm("silence", self.last_call, 0.0, usual, round(missed))

    def _part(self) -> float:
        """How much of the usual traffic there was before the gap, at most all of it."""
        calls, usual = self.pace
        return min((calls + 1.0) / (usual + 1.0), 1.0)

    def _surge(self, start: int) -> VolumeAlarm | None:
        hour_total = sum(calls for calls, _ in self.recent)
        user, per_hour = self._heaviest(BINS_PER_HOUR)
        if self.alarm is not None and self.alarm.kind != "silence":
            self._calm(start, hour_total, per_hour)
            return None
        if len(self.busiest) < 5:
            self._remember(hour_total, per_hour)
            return None
        found = self._loop(start) or self._flood(start, hour_total, user, per_hour)
        if found is None:
            self.surging_since = None
            self._remember(hour_total, per_hour)
            return None
        if self.surging_since is None:
            self.surging_since = found.started_at
        if _looks_scheduled(self.surging_since) and start + BIN - self.surging_since < BATCH:
            return None
        self.surging_since = None
        return found

    def _remember(self, hour_total: int, per_hour: int) -> None:
        share = (per_hour + 1.0) / (hour_total + 4.0) if hour_total >= FEWEST else 0.0
        before = self.today
        self.today = (max(before[0], hour_total), max(before[1], per_hour), max(before[2], share))
        self.burst = list(map(max, self.burst, self._most()))

    def _most(self) -> list[int]:
        """The most calls of one user in each of `WINDOWS`."""
        totals: dict[str, int] = {}
        found, most = [], 0
        for bins, (_, users) in enumerate(reversed(self.recent), 1):
            for user, n in users.items():
                total = totals[user] = totals.get(user, 0) + n
                most = max(most, total)
            if bins in WINDOWS:
                found.append(most)
        return [*found, *[most] * (len(WINDOWS) - len(found))]

    def _heaviest(self, bins: int) -> tuple[str | None, int]:
        totals: dict[str, int] = {}
        for _, users in self.recent[-bins:]:
            for user, n in users.items():
                totals[user] = totals.get(user, 0) + n
        if not totals:
            return None, 0
        most = max(totals.values())
        return max(user for user, n in totals.items() if n == most), most

    def _loop(self, start: int) -> VolumeAlarm | None:
        usual = self.usual_per_hour(start)
        for bins in WINDOWS if sum(calls for calls, _ in self.recent) >= FEWEST else ():
            user, n = self._heaviest(bins)
            total = sum(calls for calls, _ in self.recent[-bins:])
            if user is None or n < FEWEST or not (self._outruns(n, total, bins, usual) or self._dominates(n, total)):
                continue
            return VolumeAlarm(
                "loop",
                self._began(start, user),
                total * BINS_PER_HOUR / bins,
                usual if usual is not None else max(self.busiest),
                n,
                user,
                bins * BIN,
            )
        return None

    def _outruns(self, n: int, total: int, bins: int, usual: float | None) -> bool:
        """More calls than any user ever made, by a Poisson tail, and the traffic shows it."""
        margin = HEAVIER * (1.0 + 2.0 / len(self.heaviest))
        place = WINDOWS.index(bins)
        burst = max((day[place] for day in self.bursts), default=0)
        expected = max(margin * max(*self.heaviest, 2.0) * bins / BINS_PER_HOUR, burst)
        if n <= expected or n < 0.3 * total:
            return False
        if usual is not None and total < 1.4 * usual * bins / BINS_PER_HOUR:
            return False
        return n * math.log(n / expected) - n + expected > EVIDENCE

    def _dominates(self, n: int, total: int) -> bool:
        """A larger share of the calls than any user ever had, by a binomial tail, and at least as many calls."""
        usual = max(*self.shares, 0.1)
        share = n / total
        if n < max(self.heaviest) or share <= usual:
            return False
        rest = (1 - share) * math.log((1 - share) / (1 - usual)) if share < 1 else 0.0
        return total * (share * math.log(share / usual) + rest) > EVIDENCE

    def _began(self, start: int, user: str) -> float:
        with_user = [i for i, (_, users) in enumerate(self.recent) if user in users]
        return float(start - BIN * (len(self.recent) - 1 - with_user[0]))

    def _flood(self, start: int, hour_total: int, user: str | None, per_hour: int) -> VolumeAlarm | None:
        most = max(self.busiest)
        usual = self.usual_per_hour(start)
        if usual is None or hour_total < 50 or hour_total < 3.0 * most or hour_total < 3.0 * usual:
            return None
        carried = user if user is not None and per_hour > 0.5 * (hour_total - usual) else None
        n = per_hour if carried else hour_total
        return VolumeAlarm("flood", float(start + BIN - HOUR), hour_total, usual, n, carried)

    def _calm(self, start: int, hour_total: int, per_hour: int) -> None:
        """The surge is over once an hour has passed without it."""
        assert self.alarm is not None
        if self.alarm.kind == "loop":
            over = self._loop(start) is None and per_hour < max(self.heaviest)
        else:
            over = hour_total <= 1.5 * max(self.busiest)
        self.calm_bins = self.calm_bins + 1 if over else 0
        if self.calm_bins >= BINS_PER_HOUR:
            self.alarm = None
            self.calm_bins = 0


def _looks_scheduled(started_at: float) -> bool:
    hour = started_at % DAY / HOUR
    return (hour >= NIGHT[0] or hour < NIGHT[1]) and started_at % HOUR < BIN


def hour_slot(start: int) -> int:
    """Hour of the UTC day, plus 24 at weekends (epoch day 0 was a Thursday)."""
    weekend = ((start // DAY) + 3) % 7 >= 5
    return (start % DAY) // HOUR + (24 if weekend else 0)
