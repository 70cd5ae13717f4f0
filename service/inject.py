"""Made-up trouble in one's own history: what would driftbell have told, and how soon?

An injection changes call records before they are summed, from its onset until its end, and nothing else. Its chance
decisions follow from its own text alone, so the same history and the same injection give the same answer.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from driftbell.alerts.message import title
from driftbell.collectors.call import Call, Judgement, ManualTask, Source
from driftbell.collectors.records import Record
from driftbell.detectors.duration import parse_duration
from driftbell.detectors.finding import Finding
from driftbell.service.failure import Failure

DAY = 86_400.0
WHERE = 0.7
"""An injection without a time begins at this part of the history, at the full hour."""
AFTER = 2 * DAY
"""How long after its end an injection may still be found."""
Change = Callable[["Injection", Record, Call, random.Random], Record | None]


@dataclass(frozen=True, slots=True)
class Kind:
    """``change`` is what happens to a record in scope; ``families`` are those under which it may be told.

    ``amount`` and ``lasting`` (s; None: to the end of the history) hold when nothing else is said.
    """

    change: Change
    families: frozenset[str]
    amount: float
    lasting: float | None
    share: bool = False
    """Whether the amount is a share (0..1) of the records."""


@dataclass(frozen=True, slots=True)
class Injection:
    """One change: its kind and amount, the records it means, and when it holds (epoch s)."""

    text: str
    kind: str
    amount: float
    only: dict[str, str] = field(default_factory=dict)
    at: float | None = None
    begin: float = 0.0
    end: float = float("inf")

    def placed(self, first: float, last: float) -> "Injection":
        """The injection on a history from ``first`` to ``last``; raises `Failure` when it lies outside."""
        begin = self.at if self.at is not None else (first + WHERE * (last - first)) // 3600 * 3600
        if begin < 1e6:
            begin = first + begin * DAY
        if not first <= begin < last:
            raise Failure(f"--inject {self.text}: the history lasts {(last - first) / DAY:.1f} days; set at= within it")
        lasting = self.end if self.end != float("inf") else KINDS[self.kind].lasting
        return replace(self, begin=begin, end=last if lasting is None else min(begin + lasting, last))

    def means(self, record: Record) -> bool:
        """Whether the record is one that changes."""
        about = record.call or record.manual_task
        if about is None or not self.begin <= record.ts < self.end:
            return False
        return all(fnmatchcase(getattr(about, name, None) or "", pattern) for name, pattern in self.only.items())

    def covers(self, workflow: str) -> bool:
        """Whether calls of this workflow may change."""
        return fnmatchcase(workflow, self.only.get("workflow", "*"))

    def days(self, ts: float) -> float:
        """Days since the onset."""
        return (ts - self.begin) / DAY


class Injector:
    """Applies one placed injection to a stream of records in order."""

    def __init__(self, injection: Injection) -> None:
        self.injection = injection
        self._kind = KINDS[injection.kind]
        self._chance = random.Random(injection.text)

    def record(self, record: Record) -> Record | None:
        """The record as it would have been; None when it would not have come."""
        if record.call is None or not self.injection.means(record):
            return record
        if self._kind.share and self._chance.random() >= self.injection.amount:
            return record
        return self._kind.change(self.injection, record, record.call, self._chance)

    def priced(self, call: Call) -> Call:
        """A priced call as it would have cost."""
        factor = _dearer(self.injection, call)
        return call if factor == 1.0 or call.cost_usd is None else replace(call, cost_usd=call.cost_usd * factor)


def parse_injection(text: str) -> Injection:
    """``KIND[=AMOUNT][@KEY=VALUE,…]``; raises `Failure` that says what may be written."""
    head, _, tail = text.partition("@")
    name, equals, amount = head.partition("=")
    kind = KINDS.get(name.strip())
    if kind is None:
        raise Failure(f"--inject {text}: there is no {name.strip()[:40]!r}; there are {', '.join(KINDS)}")
    value = _number(text, amount) if equals else kind.amount
    if value <= 0 or (kind.share and value > 1):
        raise Failure(
            f"--inject {text}: {name} takes {'a share between 0 and 1' if kind.share else 'a number above 0'}"
        )
    only: dict[str, str] = {}
    at: float | None = None
    end = float("inf")
    for part in tail.split(",") if tail else ():
        key, _, said = part.partition("=")
        if key in PLACES and said:
            only[PLACES[key]] = said
        elif key == "at" and said:
            at = _moment(text, said)
        elif key == "for" and said:
            try:
                end = parse_duration(said)
            except ValueError as error:
                raise Failure(f"--inject {text}: {error}") from None
        else:
            raise Failure(f"--inject {text}: after @ write {', '.join((*PLACES, 'at', 'for'))}=…, with commas between")
    return Injection(text, name.strip(), value, only, at, end=end)


PLACES = {
    "workflow": "workflow",
    "segment": "segment",
    "tier": "risk_tier",
    "model": "model",
    "version": "prompt_version",
    "user": "user_id",
}


def _number(text: str, amount: str) -> float:
    try:
        value = float(amount)
    except ValueError:
        raise Failure(f"--inject {text}: {amount[:40]!r} is no number") from None
    if not abs(value) < 1e9:
        raise Failure(f"--inject {text}: {amount[:40]} is out of range")
    return value


def _moment(text: str, said: str) -> float:
    """Days from the beginning of the history, or a date."""
    try:
        return float(said)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(said)
    except ValueError:
        raise Failure(
            f"--inject {text}: at= takes days from the beginning, or a date such as 2026-03-17T10:00"
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _dearer(injection: Injection, call: Call) -> float:
    if injection.kind not in ("cost_step", "cost_ramp") or not injection.means(Record(call.ts, call, (), None)):
        return 1.0
    return injection.amount if injection.kind == "cost_step" else (1 + injection.amount) ** injection.days(call.ts)


def _as_it_was(_injection: Injection, record: Record, _call: Call, _chance: random.Random) -> Record:
    return record


def _with(record: Record, **fields: object) -> Record:
    assert record.call is not None
    return record._replace(call=replace(record.call, **fields))  # type: ignore[arg-type]


def _times(name: str, ramp: bool = False) -> Change:
    """Multiply a measure of every call, by the amount or by a growth a day."""

    def change(injection: Injection, record: Record, call: Call, _chance: random.Random) -> Record:
        value = getattr(call, name)
        if value is None:
            return record
        factor = (1 + injection.amount) ** injection.days(record.ts) if ramp else injection.amount
        return _with(record, **{name: type(value)(value * factor)})

    return change


def _slow(injection: Injection, record: Record, call: Call, chance: random.Random) -> Record:
    if call.latency_ms is None or chance.random() >= 0.1:
        return record
    return _with(record, latency_ms=call.latency_ms * injection.amount)


def _error(_injection: Injection, record: Record, _call: Call, _chance: random.Random) -> Record:
    return _with(record, status="error", output_tokens=None, sources=None, citations=None)


def _retried(_injection: Injection, record: Record, call: Call, chance: random.Random) -> Record:
    return _with(record, attempts=call.attempts + chance.randint(1, 4))


def _empty(_injection: Injection, record: Record, call: Call, _chance: random.Random) -> Record:
    return record if call.sources is None else _with(record, sources=(), citations=0)


def _sources(change: Callable[[Injection, Source, float], Source]) -> Change:
    def changed(injection: Injection, record: Record, call: Call, _chance: random.Random) -> Record:
        if not call.sources:
            return record
        return _with(record, sources=tuple(change(injection, source, record.ts) for source in call.sources))

    return changed


def _weaker(injection: Injection, source: Source, _ts: float) -> Source:
    return source if source.score is None else replace(source, score=source.score * injection.amount)


def _older(injection: Injection, source: Source, ts: float) -> Source:
    return (
        source
        if source.age_days is None
        else replace(source, age_days=source.age_days + injection.amount * injection.days(ts))
    )


def _judged(change: Callable[[Injection, Judgement], Judgement]) -> Change:
    def changed(injection: Injection, record: Record, _call: Call, _chance: random.Random) -> Record:
        return record._replace(judgements=tuple(change(injection, judgement) for judgement in record.judgements))

    return changed


def _lower(injection: Injection, judgement: Judgement) -> Judgement:
    return (
        judgement if judgement.score is None else replace(judgement, score=max(judgement.score - injection.amount, 0.0))
    )


def _edited(_injection: Injection, judgement: Judgement) -> Judgement:
    return judgement if judgement.override is None else replace(judgement, override="edited")


def _faster(injection: Injection, judgement: Judgement) -> Judgement:
    review = judgement.review_ms
    return judgement if review is None else replace(judgement, review_ms=review * injection.amount)


def _by_hand(_injection: Injection, record: Record, call: Call, _chance: random.Random) -> Record:
    return Record(record.ts, None, (), ManualTask(record.ts, call.workflow, call.segment, call.risk_tier, call.user_id))


def _gone(_injection: Injection, _record: Record, _call: Call, _chance: random.Random) -> None:
    return None


def _flag(name: str, value: bool) -> Change:
    def change(_injection: Injection, record: Record, call: Call, _chance: random.Random) -> Record:
        return record if getattr(call, name) is None else _with(record, **{name: value})

    return change


def _unmeasured(_injection: Injection, record: Record, _call: Call, _chance: random.Random) -> Record:
    return _with(record, input_tokens=None, output_tokens=None, cached_tokens=None, usage_source="missing")


_COST, _QUALITY, _RETRIEVAL = frozenset({"cost"}), frozenset({"quality"}), frozenset({"retrieval"})
_BYPASS, _RELIABILITY = frozenset({"bypass"}), frozenset({"reliability"})
KINDS: dict[str, Kind] = {
    "cost_step": Kind(_as_it_was, _COST, 1.5, None),
    "cost_ramp": Kind(_as_it_was, _COST, 0.03, None),
    "token_step": Kind(_times("input_tokens"), _COST, 1.5, None),
    "token_ramp": Kind(_times("input_tokens", ramp=True), _COST, 0.03, None),
    "output_step": Kind(_times("output_tokens"), _COST | _QUALITY, 1.5, None),
    "latency": Kind(_times("latency_ms"), _RELIABILITY, 2.0, None),
    "slow_tail": Kind(_slow, _RELIABILITY, 4.0, None),
    "error_burst": Kind(_error, _RELIABILITY, 0.3, 7200.0, share=True),
    "retry_storm": Kind(_retried, _COST | _RELIABILITY, 0.5, 10_800.0, share=True),
    "retrieval_outage": Kind(_empty, _RETRIEVAL, 0.8, 21_600.0, share=True),
    "score_drop": Kind(_sources(_weaker), _RETRIEVAL, 0.8, None),
    "stale_index": Kind(_sources(_older), _RETRIEVAL, 1.0, None),
    "quality_drop": Kind(_judged(_lower), _QUALITY, 0.1, None),
    "refusals": Kind(_flag("refused", True), _QUALITY, 0.1, None, share=True),
    "format_errors": Kind(_flag("format_ok", False), _QUALITY, 0.1, None, share=True),
    "overrides": Kind(_judged(_edited), _BYPASS, 0.2, None, share=True),
    "rubber_stamp": Kind(_judged(_faster), _BYPASS, 0.3, None),
    "bypass": Kind(_by_hand, _BYPASS, 0.3, None, share=True),
    "silence": Kind(_gone, frozenset({"silent"}), 1.0, DAY, share=True),
    "usage_missing": Kind(_unmeasured, frozenset({"instrument"}), 0.5, None, share=True),
}
"""What can be injected; `docs/replay.md` says what each one does to a call."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether one injection was found in one workflow: when (epoch s; None: not), under which title.

    ``opened`` tells an incident of its own from a series that joined one that was open.
    """

    injection: Injection
    workflow: str
    ts: float | None = None
    title: str = ""
    opened: bool = True

    @property
    def delay(self) -> float | None:
        """Seconds from the onset until it was told."""
        return None if self.ts is None else self.ts - self.injection.begin


def outcome(
    injection: Injection, workflow: str, told: Sequence[Finding], untouched: Sequence[Finding], opened: set[float]
) -> Outcome:
    """The first finding of a family of the injection that the untouched history did not have within the hour.

    ``opened`` are the times at which incidents of the workflow opened.
    """
    known = [(finding.series, finding.ts) for finding in untouched]
    for finding in told:
        late = finding.ts - injection.begin
        if finding.workflow != workflow or not 0 <= late <= injection.end - injection.begin + AFTER:
            continue
        if finding.family not in KINDS[injection.kind].families:
            continue
        if not any(series == finding.series and abs(ts - finding.ts) <= 3600 for series, ts in known):
            return Outcome(injection, workflow, finding.ts, title(workflow, finding), finding.ts in opened)
    return Outcome(injection, workflow)
