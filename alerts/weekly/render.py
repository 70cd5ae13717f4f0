"""One letter as text, as HTML with inlined styles, and as JSON with every number unrounded."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from css_inline import CSSInliner
from jinja2 import Environment, FunctionLoader, StrictUndefined

from driftbell.alerts.weekly.details import Line
from driftbell.alerts.weekly.figure import Figure
from driftbell.alerts.weekly.letter import Letter
from driftbell.alerts.weekly.numbers import WeeklyNumbers, WorkflowWeek
from driftbell.alerts.weekly.portfolio import Row
from driftbell.alerts.weekly.recommend import Recommendation
from driftbell.alerts.weekly.score import SCORE_DAYS, score_of

MAX_HTML = 80_000
"""Gmail clips a message at 102 kB; bytes."""
WIDTH = 76
BAR_PX = 44


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is frozen and sent: the same letter in two forms."""

    subject: str
    text: str
    html: str


def render(letter: Letter) -> Rendered:
    """Text and HTML; details are left out from the end until the HTML fits into `MAX_HTML`."""
    while True:
        html = _inliner().inline(
            _templates().get_template("weekly-html").render(letter=letter, bars=_bars(letter.bars))
        )
        if len(html.encode()) <= MAX_HTML or not letter.details:
            break
        letter = replace(letter, details=letter.details[:-1])
    subject = " ".join(_templates().get_template("weekly-subject").render(letter=letter).split())
    return Rendered(subject, _templates().get_template("weekly-text").render(letter=letter), html)


@cache
def _inliner() -> CSSInliner:
    return CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


@cache
def _templates() -> Environment:
    folder = files("driftbell.alerts").joinpath("templates")
    environment = Environment(
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        autoescape=lambda name: name is not None and name.endswith("-html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["wrapped"] = _wrapped
    environment.filters["columns"] = _columns
    return environment


def _wrapped(text: str, indent: int = 0) -> str:
    """``text`` in lines of `WIDTH`, the following ones indented; long words such as commands stay whole."""
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned text columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def _bars(days: Sequence[float | None]) -> list[dict[str, Any]]:
    """Heights of the daily bars in pixels; the last seven are this week."""
    top = max((day for day in days if day is not None), default=0.0)
    if top <= 0:
        return []
    return [
        {"height": None if day is None else max(1, round(BAR_PX * day / top)), "now": i >= len(days) - 7}
        for i, day in enumerate(days)
    ]


def as_json(numbers: WeeklyNumbers, letter: Letter, advice: Sequence[Recommendation]) -> dict[str, object]:
    """Everything as plain data: each number with the command that recomputes it, times in epoch seconds."""
    week = numbers.week
    return {
        "week": week.name,
        "label": week.label,
        "zone": week.zone_name,
        "start": week.start,
        "end": week.end,
        "recipient": numbers.recipient,
        "subject": letter.subject,
        "headline": letter.headline,
        "why": letter.why,
        "late": letter.late,
        "decisions": letter.decisions,
        "compared": numbers.compared,
        "gaps": list(numbers.gaps),
        "recommendations": [
            {
                "verb": one.verb,
                "rule": one.rule,
                "workflow": one.workflow,
                "text": one.text,
                "owner": one.owner,
                "sure": one.sure,
                "usd": one.usd_per_week,
                "cases": one.cases,
                "recompute": one.command,
            }
            for one in advice
        ],
        "alarms": _alarms(numbers),
        "workflows": [_workflow(one) for one in numbers.workflows],
        "letter": _as_printed(letter),
        "recompute": numbers.command,
    }


def _alarms(numbers: WeeklyNumbers) -> dict[str, object]:
    score = score_of(numbers)
    return {
        "days": SCORE_DAYS,
        "pages": score.pages,
        "acknowledged": score.judged,
        "false_pages": score.false,
        "promised_false_pages": score.promised,
        "recompute": "driftbell incidents --json",
    }


def _as_printed(letter: Letter) -> dict[str, object]:
    """What the mail shows, in its words and order, for whoever shows it elsewhere."""
    return {
        "period": letter.period,
        "advice": [{"verb": a.verb, "text": a.text, "note": a.note, "recompute": a.command} for a in letter.advice],
        "table": {"title": letter.table_title, "columns": list(letter.columns), "rows": _rows(letter.rows)},
        "sections": [{"name": s.name, "lines": list(s.lines), "recompute": s.command} for s in letter.sections],
        "daily_cost": {"title": letter.bars_title, "days": list(letter.bars)},
        "details": [
            {"title": d.title, "rows": _rows(d.lines), "notes": list(d.notes), "recompute": d.command}
            for d in letter.details
        ],
        "footer": list(letter.footer),
    }


def _rows(rows: Sequence[Row | Line]) -> list[dict[str, object]]:
    return [{"cells": list(row.cells), "mood": row.mood} for row in rows]


def _workflow(week: WorkflowWeek) -> dict[str, object]:
    split = {"cost_per_outcome": week.money.per_outcome, "total_cost": week.money.bill}
    budget = week.budget
    return {
        "workflow": week.workflow,
        "title": week.title,
        "owner": week.owner,
        "calls": week.calls,
        "outcome": week.outcome,
        "outcome_is": week.outcome_is,
        "quiet": week.quiet,
        "figures": list(_figures((*week.figures, *week.groups), week.command)),
        "cost_parts": {
            name: {"usual": one.before, "this": one.after, "parts": one.parts, "assumed_prices": one.assumed_prices}
            for name, one in split.items()
            if one is not None
        },
        "slowest_ms": {"share": 0.05, "this": week.slowest[0], "usual": week.slowest[1]},
        "cost_at_ten_times": week.money.ten_times,
        "budget": None
        if budget is None
        else {"so_far": budget.so_far, "forecast": budget.forecast, "limit": budget.limit, "over": budget.over},
        "incidents": [
            {
                "id": one.id,
                "title": one.title,
                "started_at": one.started_at,
                "ended_at": one.ended_at,
                "open": one.still_open,
                "usd": one.extra_usd,
                "verdict": one.verdict,
                "recompute": one.command,
            }
            for one in week.told
        ],
        "changes": [
            {
                "at": one.at,
                "what": one.what,
                "seen": one.seen,
                "moved": one.moved,
                "before": one.before,
                "after": one.after,
            }
            for one in week.changes
        ],
        "not_seen": list(week.unseen),
        "recompute": week.command,
    }


def _figures(figures: Sequence[Figure], command: str) -> Iterator[dict[str, object]]:
    for figure in figures:
        yield {
            "name": figure.name,
            "label": figure.measure.label,
            "unit": figure.measure.unit,
            "this_week": figure.this,
            "last_week": figure.last,
            "usual": figure.usual,
            "weeks": list(figure.weeks),
            "cases": figure.cases,
            "verdict": figure.verdict if figure.measure.good else None,
            "reason": figure.reason,
            "recompute": command,
        }
