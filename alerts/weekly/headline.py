"""The subject line, the one sentence at the top, and what the change of cost is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from driftbell.alerts.plain import plain, shorten
from driftbell.alerts.weekly.figure import Figure
from driftbell.alerts.weekly.numbers import WeeklyNumbers, WorkflowWeek
from driftbell.alerts.weekly.ranking import loudest
from driftbell.alerts.weekly.recommend import Recommendation
from driftbell.alerts.weekly.told import Told
from driftbell.alerts.weekly.words import (
    capital,
    cent_decimals,
    each,
    incident_words,
    label,
    lower,
    part_words,
    per_many,
    rounded_parts,
    shown,
    size,
)
from driftbell.detectors.decomposition import Factor

MAX_SUBJECT = 90
SMALL_PART = 0.1
"""Parts below this share of the change are not worth a word at the top."""


def subject(numbers: WeeklyNumbers, advice: Sequence[Recommendation]) -> str:
    """``Claims triage, 9-15 Nov: worked, but 24% dearer per accepted suggestion - 2 decisions``, cut to 90."""
    count = decisions(advice)
    end = " - " + ("nothing to decide" if count == 0 else f"{count} decision{'' if count == 1 else 's'}")
    start = f"{_about(numbers)}, {numbers.week.label}: "
    room = MAX_SUBJECT - len(start) - len(end)
    return start + shorten(_gist(numbers, room), room) + end


def decisions(advice: Sequence[Recommendation]) -> int:
    """How many of the recommendations ask for a decision."""
    return sum(one.is_decision for one in advice)


def _about(numbers: WeeklyNumbers) -> str:
    if not numbers.workflows:
        return f"AI features of {plain(numbers.recipient, 30)}"
    if len(numbers.workflows) == 1:
        return plain(numbers.workflows[0].title, 30)
    return f"{len(numbers.workflows)} AI features"


def _gist(numbers: WeeklyNumbers, room: int) -> str:
    if not any(week.calls for week in numbers.workflows):
        return "no calls were received"
    if not any(week.comparable for week in numbers.workflows):
        return "a first week"
    if len(numbers.workflows) == 1 and numbers.workflows[0].moved:
        return _single_gist(numbers.workflows[0])
    worse = [week for week in numbers.workflows if any(figure.verdict == "Worse" for figure in week.moved)]
    better = [week for week in numbers.workflows if week not in worse and week.moved]
    counts = [f"{len(worse)} got worse"] * bool(worse) + [f"{len(better)} got better"] * bool(better)
    if not counts:
        return "figures as usual, " + open_or_over(numbers) if _told(numbers) else "as usual"
    most = f", {plain(worse[0].title, 30)} most" if len(worse) > 1 else ""
    incidents = f", {open_or_over(numbers)}" if _told(numbers) else ""
    texts = [", ".join(counts) + most + incidents, ", ".join(counts) + incidents]
    return next((text for text in texts if len(text) <= room), ", ".join(counts) + most)


def _single_gist(week: WorkflowWeek) -> str:
    figure, each_one = week.moved[0], week.figure("cost_per_outcome")
    if each_one is not None and each_one.moved and each_one.relative is not None:
        word = "dearer" if each_one.relative > 0 else "cheaper"
        but = "worked, but " if word == "dearer" else ""
        return f"{but}{abs(each_one.relative) * 100:.0f}% {word} per {week.outcome}"
    return f"{lower(label(figure))} {figure.verdict.lower()} ({size(figure)})"


def _told(numbers: WeeklyNumbers) -> list[Told]:
    return [one for week in numbers.workflows for one in week.told]


def open_or_over(numbers: WeeklyNumbers) -> str:
    """``one incident, over``, ``3 incidents, 1 still open``."""
    told = _told(numbers)
    still = sum(one.still_open for one in told)
    if len(told) == 1:
        return "one incident, " + ("still open" if still else "over")
    return f"{len(told)} incidents, " + (f"{still} still open" if still else "all over")


def headline(numbers: WeeklyNumbers, advice: Sequence[Recommendation]) -> str:
    """What happened, in one sentence, and how many decisions follow."""
    count = decisions(advice)
    asked = {0: "Nothing to decide.", 1: "One decision for you."}.get(count, f"{count} decisions for you.")
    if not any(week.calls for week in numbers.workflows):
        return (
            "No calls were received this week, so there is nothing to judge. If there was traffic, the link is broken."
        )
    loud = [week for week in numbers.workflows if week.moved or week.told]
    if len(numbers.workflows) == 1:
        return f"{_one(numbers.workflows[0], numbers)} {asked}"
    if not any(week.moved for week in loud):
        return f"{_calm(numbers, loud)} {asked}"
    happened = "changed or had an incident" if _told(numbers) else "changed"
    every = len(loud) == len(numbers.workflows)
    many = f"{f'All {len(loud)}' if every else f'{len(loud)} of {len(numbers.workflows)}'} AI features {happened}"
    return f"{many}, {plain(loud[0].title, 40)} most: {_matter(loud[0])}. {asked}"


def _calm(numbers: WeeklyNumbers, loud: Sequence[WorkflowWeek]) -> str:
    """Several features of which no figure changed."""
    new = sum(week.calls > 0 and not week.comparable for week in numbers.workflows)
    known = len(numbers.workflows) - new
    if not known:
        return f"{new} AI features, none with an earlier week to compare with."
    but = f"; {new} have no earlier week to compare with" if new else ""
    if loud:
        which = f"{plain(loud[0].title, 40)}: {_matter(loud[0])}"
        there = (
            "there was one incident" if len(_told(numbers)) == 1 else f"there were {open_or_over(numbers)}; the worst"
        )
        return f"No figure of {known} AI features changed, but {there}, {which}{but}."
    return f"{'All ' * (not new)}{known} AI features worked as usual{but}."


def _one(week: WorkflowWeek, numbers: WeeklyNumbers) -> str:
    figure = week.figure("cost_per_outcome")
    start = "" if figure is None else each(figure, week.outcome)
    if figure is not None and figure.moved and figure.usual is not None:
        way = "up from" if (figure.difference or 0) > 0 else "down from"
        this, _, usual = shown(figure)
        return f"{capital(start)} cost {this}, {way} the usual {usual}."
    if week.moved:
        return f"{capital(_matter(week))}."
    if not week.comparable:
        return "A first week: there is none before it to compare with."
    if week.told:
        many = "one incident: " if len(week.told) == 1 else f"{open_or_over(numbers)}; the worst: "
        return f"No figure changed, but there {'was' if len(week.told) == 1 else 'were'} {many}{_matter(week)}."
    if figure is not None and figure.this is not None:
        return f"A week like the others: {start} cost {shown(figure)[0]}."
    return "A week like the others."


def _matter(week: WorkflowWeek) -> str:
    """What is to be said first of a feature that was not as usual."""
    matter = loudest(week)
    if isinstance(matter, Told):
        return incident_words(matter)
    return _moved(matter) if matter is not None else "nothing"


def _moved(figure: Figure) -> str:
    this, _, usual = shown(figure)
    return f"{lower(label(figure))} {this}, usually {usual}"


@dataclass(frozen=True, slots=True)
class Part:
    """One addend of a change of cost as printed: ``amount`` with its sign left out, in words, and where."""

    factor: Factor
    units: int
    amount: str
    words: str


def explained(week: WorkflowWeek) -> str:
    """``2.2c more: +1.2c longer inputs in high-risk, +1.0c fewer accepted suggestions per call.``"""
    whole, parts = cost_parts(week)
    big = [part for part in parts if abs(part.units) >= SMALL_PART * sum(abs(p.units) for p in parts)][:2]
    if not big:
        return ""
    way = "less" if whole.startswith("-") else "more"
    told = [f"{'+' * (part.units > 0)}{part.amount} {part.words}{_where(week, part.factor)}" for part in big]
    rest = "" if len(big) == len(parts) else "; all parts below"
    return f"{whole.removeprefix('-')} {way}: {', '.join(told)}{rest}."


def cost_parts(week: WorkflowWeek) -> tuple[str, list[Part]]:
    """The change of cost per outcome and its parts, the largest first, which sum to it as they are printed.

    The change is the difference of the two printed costs. Parts too small to print are in none of the others: they
    are zero units.
    """
    figure, split = week.figure("cost_per_outcome"), week.money.per_outcome
    if figure is None or split is None or not figure.moved or figure.this is None or figure.usual is None:
        return "", []
    per = per_many(figure)
    known = [cost * per for cost in (figure.this, figure.last, figure.usual) if cost is not None]
    decimals = cent_decimals(known)
    unit = 0.01 if decimals is None else 10.0 ** (-2 - decimals)
    whole = round(figure.this * per / unit) - round(figure.usual * per / unit)
    units = rounded_parts({factor: amount * per for factor, amount in split.parts.items()}, whole, unit)

    def printed(count: int) -> str:
        sign = "-" if count < 0 else ""
        return (
            f"{sign}${abs(count) * unit:.2f}" if decimals is None else f"{sign}{abs(count) * unit * 100:.{decimals}f}c"
        )

    ordered = sorted(((f, count) for f, count in units.items() if count), key=lambda item: -abs(item[1]))
    return printed(whole), [
        Part(f, count, printed(count), part_words(f, count, plain(week.outcome, 40))) for f, count in ordered
    ]


def _where(week: WorkflowWeek, factor: Factor) -> str:
    """The one segment that carries a part, if one does."""
    split = week.money.per_outcome
    if split is None or factor not in ("input_tokens", "output_tokens", "cache_share", "price", "attempts"):
        return ""
    by_segment: dict[str | None, float] = {}
    for key, parts in split.cells.items():
        by_segment[key.segment] = by_segment.get(key.segment, 0.0) + parts.get(factor, 0.0)
    segment = max(by_segment, key=lambda name: abs(by_segment[name]))
    carries = abs(by_segment[segment]) >= 0.8 * abs(split.parts[factor])
    return f" in {plain(segment, 30)}" if carries and segment is not None and len(by_segment) > 1 else ""
