"""Bars as SVG for the documentation, written by hand so that the benchmarks need no plotting library."""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

WIDTH, ROW, LABEL, TOP = 720, 26, 210, 44
INK, QUIET, OURS, THEIRS = "#1f2933", "#7b8794", "#1d6fb8", "#b9c4d0"


def bars(
    path: Path,
    title: str,
    rows: Sequence[tuple[str, float | None]],
    unit: str,
    *,
    mark: float | None = None,
    log: bool = False,
) -> None:
    """Write one horizontal bar per ``(label, value)``; None is "none". ``mark`` draws a line for a goal.

    Bars whose label begins with ``driftbell`` stand out. With ``log`` lengths are logarithmic, from 1 on.
    """
    known = [value for _, value in rows if value is not None] + ([mark] if mark is not None else [])
    most = max([*known, 1e-9])

    def length(value: float) -> float:
        share = math.log(max(value, 1.0)) / math.log(max(most, 1.001)) if log else value / most
        return share * (WIDTH - LABEL - 90)

    height = TOP + ROW * len(rows) + 14
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13"><title>{escape(title)}</title>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="22" fill="{INK}" font-weight="600">{escape(title)}</text>',
    ]
    for i, (label, value) in enumerate(rows):
        y = TOP + ROW * i
        lines.append(f'<text x="{LABEL - 8}" y="{y + 15}" fill="{INK}" text-anchor="end">{escape(label)}</text>')
        end = LABEL + (length(value) if value is not None else 0)
        colour = OURS if label.startswith("driftbell") else THEIRS
        lines.append(f'<rect x="{LABEL}" y="{y + 3}" width="{end - LABEL:.1f}" height="16" fill="{colour}"/>')
        shown = "none" if value is None else f"{value:,.3g} {unit}"
        lines.append(f'<text x="{end + 6:.1f}" y="{y + 15}" fill="{QUIET}">{escape(shown)}</text>')
    if mark is not None:
        x = LABEL + length(mark)
        lines.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - 8}" stroke="{INK}" stroke-dasharray="4 3"/>'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, "</svg>", ""]), encoding="utf-8")
