"""`driftbell budget`: is the promise of few false pages kept?"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from driftbell.service.commands.options import configured, where_options

if TYPE_CHECKING:
    from rich.console import Console

    from driftbell.alerts.budget import Kept


@click.command(name="budget")
@where_options
@click.option("--days", type=click.IntRange(1, 400), default=30, show_default=True, help="How far to look back.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per workflow and line.")
def command(config_file: Path | None, data_dir: Path | None, days: int, as_json: bool) -> None:
    """Show false pages against the promise, per workflow.

    A page counts as false once somebody said so with `ack --false-alarm`. Exit code 1 when a workflow has more of
    them than the promise lets expect, beyond chance.
    """
    import time

    from driftbell.alerts.budget import MONTH, realised
    from driftbell.service.stores import reading

    config, now = configured(config_file, data_dir), time.time()
    with reading(config) as store:
        workflows = [(workflow.name, workflow.first_ts) for workflow in store.workflows()]
        found = realised(store.read(), workflows, now, days * 86_400.0 / MONTH)
    promised = config.detectors.false_pages_per_month
    for one in found if as_json else ():
        line = {"workflow": one.workflow, "days": round(one.months * 30, 2), "promised_per_month": promised}
        line |= {"pages": one.opened, "false_alarms": one.false_alarms, "new_normal": one.new_normal}
        line |= {"unjudged": one.unjudged, "false_per_month": round(one.per_month, 3)}
        click.echo(json.dumps(line))
    if not as_json:
        from rich.console import Console

        _tell(Console(), found, promised, days)
    if any(one.at_least > promised for one in found):
        raise click.exceptions.Exit(1)


def _tell(console: "Console", found: "Sequence[Kept]", promised: float, days: int) -> None:
    from rich.markup import escape
    from rich.table import Table

    if not found:
        console.print("No workflow so far.")
        return
    console.print(f"Promised: {promised:g} false pages a month and workflow. Pages of the last {days} days:")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("workflow", "pages", "false", "new normal", "unjudged", "false a month"):
        table.add_column(name, justify="left" if name == "workflow" else "right", no_wrap=name != "workflow")
    for one in found:
        colour = "red" if one.at_least > promised else "yellow" if one.per_month > promised else "green"
        numbers = (one.opened, one.false_alarms, one.new_normal, one.unjudged)
        table.add_row(escape(one.workflow), *map(str, numbers), f"[{colour}]{one.per_month:.1f}[/]")
    console.print(table)
    if any(one.unjudged for one in found):
        console.print("What nobody judged is not counted as false: driftbell ack ID --false-alarm")
