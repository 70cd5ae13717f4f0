"""How the summary writes figures: plain words, counts beside percentages, points between percentages."""

import math
from collections.abc import Mapping, Sequence

from driftbell.alerts.plain import plain
from driftbell.alerts.weekly.figure import Figure, Unit
from driftbell.alerts.weekly.told import Told
from driftbell.alerts.weekly.verdict import ENOUGH_CASES
from driftbell.alerts.wording import milliseconds, money, percent, significant
from driftbell.detectors.decomposition import Factor

JUDGED = {"false_alarm": "a false alarm", "new_normal": "the new normal"}
"""What people said an incident was instead of one."""
WORTH_TELLING = 0.995
"""USD below which an incident's cost is left to the details."""
TINY_USD = 0.001
"""Below a tenth of a cent, money is told per thousand."""
MANY = 1000

BY_TRAFFIC = ("more calls", "fewer calls")
"""Reasons of a bill that moved with the number of calls and not by itself."""
PART_WORDS: dict[Factor, tuple[str, str]] = {
    "traffic": ("more calls", "fewer calls"),
    "outcomes_per_call": ("fewer {outcome}s per call", "more {outcome}s per call"),
    "segment_mix": ("more calls of dear segments", "fewer calls of dear segments"),
    "model_mix": ("more calls to dear models", "fewer calls to dear models"),
    "attempts": ("more retries", "fewer retries"),
    "input_tokens": ("longer inputs", "shorter inputs"),
    "output_tokens": ("longer answers", "shorter answers"),
    "cache_share": ("less reuse of cached input", "more reuse of cached input"),
    "price": ("higher prices", "lower prices"),
    "other": ("other causes", "other causes"),
}
"""What a part is called when it raises the cost, and when it lowers it; ``{outcome}`` is what is divided by."""


def cents(usd: float) -> str:
    """Money with three figures that matter: ``$6,695``, ``$4.20``, ``11.3c``, ``0.805c``."""
    sign, size = ("-" if usd < 0 else ""), abs(usd)
    return sign + (money(size) if size >= 0.995 or size == 0 else f"{significant(size * 100, 3)}c")


def value(amount: float | None, unit: Unit, per: int = 1) -> str:
    """One value as printed; ``-`` where there is none. ``per`` scales money per call to money per thousand."""
    if amount is None:
        return "-"
    if unit == "usd":
        return cents(amount * per)
    if unit == "share":
        return percent(amount)
    if unit == "score":
        return f"{amount * 100:.0f} of 100"
    if unit == "ms":
        return milliseconds(amount)
    if unit == "days":
        return f"{significant(amount)} days" if amount > 0 else f"{amount:.0f} days"
    return f"{amount:,.0f}"


def each(figure: Figure, outcome: str) -> str:
    """``each accepted suggestion``, or ``1,000 accepted suggestions`` where one costs next to nothing."""
    return f"1,000 {outcome}s" if per_many(figure) == MANY else f"each {outcome}"


def bare_title(told: Told) -> str:
    """The incident's title without the name of its workflow, which stands before it anyway."""
    return lower(plain(told.title.removeprefix(f"{told.workflow}:").strip(), 100))


def incident_words(told: Told) -> str:
    """What it was, how it stands and what it cost: ``response time up 54%, over now, cost $4.60``."""
    what = bare_title(told).partition(" (")[0]
    usd = told.extra_usd or 0.0
    state = JUDGED.get(told.verdict or "", "still open" if told.still_open else "over now")
    cost = f", cost {cents(usd)}" if usd >= WORTH_TELLING and state not in JUDGED.values() else ""
    return f"{what}, {state}{cost}"


def per_many(figure: Figure) -> int:
    """1, or 1,000 where a single one costs next to nothing."""
    if figure.measure.unit != "usd" or figure.measure.weekly:
        return 1
    known = [abs(amount) for amount in (figure.this, figure.usual) if amount is not None]
    return MANY if known and max(known) < TINY_USD else 1


def label(figure: Figure) -> str:
    """What the figure is called in a table."""
    name = figure.measure.label
    if per_many(figure) == MANY:
        name = name.replace("Cost per ", "Cost per 1,000 ", 1) + "s"
    return f"{name}, {figure.only.words}" if figure.only else name


def shown(figure: Figure) -> tuple[str, str, str]:
    """(this week, last week, usual) as printed; money below a dollar with the same decimals in all three."""
    unit, per = figure.measure.unit, per_many(figure)
    amounts = (figure.this, figure.last, figure.usual)
    decimals = cent_decimals([amount * per for amount in amounts if amount is not None]) if unit == "usd" else None
    if decimals is None:
        return value(amounts[0], unit, per), value(amounts[1], unit, per), value(amounts[2], unit, per)
    texts = ["-" if amount is None else f"{amount * per * 100:.{decimals}f}c" for amount in amounts]
    return texts[0], texts[1], texts[2]


def cent_decimals(amounts: Sequence[float]) -> int | None:
    """Decimals of cents that show three figures of the largest amount; None from a dollar up or for nothing."""
    largest = max(map(abs, amounts), default=0.0)
    return min(12, max(0, 2 - math.floor(math.log10(largest * 100)))) if 0 < largest < 0.995 else None


def size(figure: Figure) -> str:
    """How far it is from usual: ``+24%``, ``-7 points``; empty when that cannot be said."""
    difference, unit = figure.difference, figure.measure.unit
    if difference is None:
        return ""
    sign = "+" if difference >= 0 else "-"
    if unit in ("share", "score"):
        points = abs(difference) * 100
        return f"{sign}{significant(points, 1 if points < 1 else 2)} points" if points else ""
    if not figure.usual:
        return ""
    ratio = abs(difference) / figure.usual
    if ratio < 0.005:
        return ""
    return f"{sign}{ratio * 100:.0f}%" if ratio < 2 else f"{1 + ratio if difference > 0 else ratio:.1f} times"


def verdict(figure: Figure) -> str:
    """``↑ Worse, +24%``, ``= Same``, ``? Cannot tell``: a word and a sign, so that colour says nothing alone."""
    if not figure.measure.good:
        return size(figure) or ("as usual" if figure.usual is not None else "")
    if figure.verdict == "Cannot tell":
        return "? Cannot tell"
    if figure.verdict == "Same":
        return f"= Same, {figure.reason}" if figure.reason in BY_TRAFFIC else "= Same"
    arrow = "↑" if (figure.difference or 0) > 0 else "↓"
    return ", ".join(filter(None, (f"{arrow} {figure.verdict}", size(figure))))


def why_not(figure: Figure) -> str:
    """The reason of a verdict that is none, for the details."""
    return f"too few to tell (under {ENOUGH_CASES})" if figure.reason.startswith("too few") else figure.reason


def one_in(share: float | None) -> str:
    """``about 1 in 15`` for a share up to a half, with a comma before; else empty."""
    if share is None or not 0.0005 <= share <= 0.5:
        return ""
    return f", about 1 in {round(1 / share):,}"


def sentence(figure: Figure, *, last_week: bool = True) -> str:
    """``no document found 6.1%, about 1 in 16 (usual 0.9%, last week 0.9%)``."""
    this, last, usual = shown(figure)
    count = one_in(figure.this) if figure.measure.unit == "share" else ""
    before = f", last week {last}" if last_week else ""
    return f"{lower(label(figure))} {this}{count} (usual {usual}{before})"


def counted(figure: Figure) -> str:
    """``128 of 938`` behind a share, ``248 looked at`` behind a score; empty for all other figures."""
    if figure.measure.unit == "share" and figure.hits is not None and figure.measure.name != "edit_distance":
        return f"{figure.hits:,.0f} of {figure.cases:,.0f}"
    return f"{figure.cases:,.0f} looked at" if figure.measure.unit == "score" else ""


def capital(text: str) -> str:
    """With a capital letter in front, as at the start of a sentence."""
    return text[:1].upper() + text[1:]


def lower(text: str) -> str:
    """A label inside a sentence: its first letter small, unless the word is written in capitals."""
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def rounded_parts(parts: Mapping[Factor, float], whole: int, unit: float) -> dict[Factor, int]:
    """Parts in ``unit``, rounded so that they sum to ``whole`` units (largest remainders).

    ``whole`` is the difference of two rounded numbers and may be one off the rounded sum.
    """
    floors = {factor: math.floor(part / unit) for factor, part in parts.items()}
    missing = whole - sum(floors.values())
    by_rest = sorted(parts, key=lambda factor: floors[factor] - parts[factor] / unit)
    for i in range(abs(missing) if parts else 0):
        step = 1 if missing > 0 else -1
        floors[by_rest[i % len(parts)] if missing > 0 else by_rest[-1 - i % len(parts)]] += step
    return floors


def part_words(factor: Factor, amount: float, outcome: str) -> str:
    """The part in words, by its direction."""
    return PART_WORDS[factor][0 if amount > 0 else 1].replace("{outcome}", outcome)
