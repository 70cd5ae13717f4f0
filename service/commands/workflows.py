"""`driftbell workflows`: the overview in a terminal."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from driftbell.service.commands.options import configured, where_options

if TYPE_CHECKING:
    from driftbell.service.page.figures import Figure
    from driftbell.service.page.glance import Glance

COLOURS = {"page": "bold red", "ticket": "yellow", "unknown": "yellow", "learning": "cyan", "quiet": "dim"}


@click.command(name="workflows")
@where_options
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, every figure.")
def command(config_file: Path | None, data_dir: Path | None, limit: int, as_json: bool) -> None:
    """Show every workflow, the worst first.

    The last 24 hours with the calls of each hour, and a usual day below each number.
    """
    import time

    from driftbell.service.page.glance import Glances
    from driftbell.service.stores import reading

    config = configured(config_file, data_dir)
    with reading(config) as store:
        snapshot = Glances(store, config.weekly, config.detectors.learn_days, time.time).latest()
    if as_json:
        for glance in snapshot.glances[:limit]:
            click.echo(json.dumps(_fields(glance)))
        return
    if not snapshot.glances:
        click.echo("No call has come yet.")
        return
    _show(snapshot.glances[:limit], len(snapshot.glances))


def _fields(glance: "Glance") -> dict[str, object]:
    workflow = glance.workflow
    return {
        "workflow": workflow.name,
        "owner": workflow.owner,
        "risk_tier": workflow.risk_tier,
        "state": glance.state,
        "newest_ts": workflow.newest_ts,
        "incidents": [incident.id for incident in glance.incidents],
        "calls_by_hour": glance.hourly,
        "figures": {
            name: {"value": f.value, "usual": f.usual, "unit": f.unit, "of": f.label}
            for name, f in glance.figures.items()
        },
    }


def _show(glances: "tuple[Glance, ...]", total: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from driftbell.alerts.message import title
    from driftbell.alerts.plain import plain
    from driftbell.service.page.overview import STATES
    from driftbell.service.sparkline import sparkline

    console = Console()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    table.add_column("workflow", ratio=1, overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("calls, by hour", no_wrap=True)
    for name in ("calls", "spend", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    for glance in glances:
        colour = COLOURS.get(glance.state, "green")
        open_now = "".join(f"\n[{colour}]{escape(title(i.workflow, i.headline))}[/]" for i in glance.incidents[:3])
        figures = [_cell(glance.figures[name]) for name in ("calls", "spend", "errors")]
        line = sparkline(glance.hourly, console.encoding)
        state = f"[{colour}]{STATES[glance.state]}[/]"
        table.add_row(f"{escape(plain(glance.workflow.name, 60))}{open_now}", state, line, *figures)
    console.print(table)
    if total > len(glances):
        console.print(f"[dim]and {total - len(glances)} more: --limit[/]")


def _cell(figure: "Figure") -> str:
    from driftbell.alerts.wording import quantity

    def written(value: float | None) -> str:
        if value is None:
            return "-"
        return f"{value:,.0f}" if figure.unit == "count" else quantity(value, figure.unit)

    usual = "" if figure.usual is None else f"\n[dim]{written(figure.usual)}[/]"
    return written(figure.value) + usual
