"""Plots as SVG for the documentation, written by hand so that the benchmarks need no plotting library.

Each has a background of its own, light or dark as the reader's system is, and so can be read on any page.
"""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

WIDTH = 720
STYLE = """<style>
.card { fill: #ffffff; stroke: #d5dce3 } .ink { fill: #1f2933 } .quiet { fill: #5f6c7b }
.ours { fill: #1d6fb8 } .theirs { fill: #9aa8b7 } .line { stroke: #d5dce3 }
@media (prefers-color-scheme: dark) {
.card { fill: #161b22; stroke: #343c46 } .ink { fill: #e6edf3 } .quiet { fill: #9aa7b4 }
.ours { fill: #58a6ff } .theirs { fill: #6b7785 } .line { stroke: #343c46 }
}
</style>"""
ROW, LABEL, TOP = 26, 210, 44
LEFT, RIGHT, BOTTOM, PLOT = 70, 40, 52, 330


def bars(path: Path, title: str, rows: Sequence[tuple[str, float]], unit: str) -> None:
    """Write one horizontal bar per ``(label, value)``; those whose label begins with ``driftbell`` stand out."""
    most = max([value for _, value in rows] + [1e-9])
    lines = []
    for i, (label, value) in enumerate(rows):
        y = TOP + ROW * i
        long = value / most * (WIDTH - LABEL - 100)
        lines += [
            _text(LABEL - 8, y + 15, label, "ink", "end"),
            f'<rect class="{_whose(label)}" x="{LABEL}" y="{y + 3}" width="{max(long, 1):.1f}" height="16" rx="2"/>',
            _text(LABEL + long + 6, y + 15, f"{value:,.3g} {unit}".strip(), "quiet"),
        ]
    _write(path, title, TOP + ROW * len(rows) + 14, lines)


def points(
    path: Path,
    title: str,
    rows: Sequence[tuple[str, float, float]],
    axes: tuple[str, str],
    ranges: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    """Write one dot per ``(label, x, y)`` on logarithmic axes; what lies beyond the ranges is put on their edge."""
    wide, high = WIDTH - LEFT - RIGHT, PLOT

    def place(value: float, axis: int, length: float) -> float:
        low, top = (math.log10(end) for end in ranges[axis])
        return (min(max(math.log10(max(value, 1e-300)), low), top) - low) / (top - low) * length

    lines = []
    for mark in _decades(ranges[0]):
        x = LEFT + place(mark, 0, wide)
        lines.append(f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + high}"/>')
        lines.append(_text(x, TOP + high + 18, f"{mark:,.0f}", "quiet", "middle"))
    for mark in _decades(ranges[1]):
        y = TOP + high - place(mark, 1, high)
        lines.append(f'<line class="line" x1="{LEFT}" x2="{LEFT + wide}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(_text(LEFT - 8, y + 4, f"{mark:,.0f}", "quiet", "end"))
    lines.append(_text(LEFT + wide / 2, TOP + high + 40, axes[0], "quiet", "middle"))
    lines.append(
        f'<text class="quiet" text-anchor="middle" transform="translate(20 {TOP + high / 2}) rotate(-90)">'
        f"{escape(axes[1])}</text>"
    )
    right_of: list[tuple[float, float]] = []
    for label, right, up in rows:
        x, y = LEFT + place(right, 0, wide), TOP + high - place(up, 1, high)
        lines.append(f'<circle class="{_whose(label)}" cx="{x:.1f}" cy="{y:.1f}" r="6"/>')
        if x > LEFT + 0.75 * wide or any(abs(x - a) < 120 and abs(y - b) < 14 for a, b in right_of):
            lines.append(_text(x - 10, y + 4, label, "ink", "end"))
        else:
            lines.append(_text(x + 10, y + 4, label, "ink"))
            right_of.append((x, y))
    _write(path, title, TOP + high + BOTTOM, lines)


def _decades(ends: tuple[float, float]) -> list[float]:
    return [10.0**n for n in range(math.ceil(math.log10(ends[0])), math.floor(math.log10(ends[1])) + 1)]


def _whose(label: str) -> str:
    return "ours" if label.startswith("driftbell") else "theirs"


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _write(path: Path, title: str, height: float, lines: Sequence[str]) -> None:
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13"><title>{escape(title)}</title>',
        STYLE,
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        f'<text class="ink" x="14" y="24" font-weight="600">{escape(title)}</text>',
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*head, *lines, "</svg>", ""]), encoding="utf-8")
