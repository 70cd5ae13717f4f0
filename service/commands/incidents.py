"""`driftbell incidents`: what rang, and what still does."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from driftbell.service.commands.options import configured, where_options

if TYPE_CHECKING:
    from rich.table import Table

    from driftbell.alerts.record import Incident


@click.command(name="incidents")
@where_options
@click.option("--open", "only_open", is_flag=True, help="Only those that are not resolved.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, every field.")
def command(config_file: Path | None, data_dir: Path | None, only_open: bool, limit: int, as_json: bool) -> None:
    """List incidents, the newest first."""
    from driftbell.alerts.line import incident_line
    from driftbell.service import oncall
    from driftbell.service.stores import reading

    with reading(configured(config_file, data_dir)) as store:
        found = oncall.listed(store, "open" if only_open else "all", limit)
    if as_json:
        for incident in found:
            click.echo(json.dumps(incident_line(incident)))
        return
    if not found:
        click.echo("No open incident." if only_open else "No incident so far.")
        return
    from rich.console import Console

    Console().print(incident_table(found))


def incident_table(incidents: "list[Incident]") -> "Table":
    """The incidents as a table that fits 80 columns."""
    from rich.markup import escape
    from rich.table import Table

    from driftbell.alerts.line import incident_line
    from driftbell.alerts.wording import moment

    table = Table(box=None, padding=(0, 2, 1, 0), header_style="bold", show_edge=False)
    table.add_column("since (UTC)", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("what, where and why", ratio=1, overflow="fold")
    colours = {"open": "red", "unknown": "yellow", "resolved": "green"}
    for incident in incidents:
        line = incident_line(incident)
        state = f"[{colours[incident.state]}]{incident.state}[/]"
        text = f"[bold]{escape(str(line['title']))}[/]\n{escape(str(line['cause_text']))}\n[dim]{incident.id}[/]"
        table.add_row(moment(incident.started_at, "UTC").removesuffix(" UTC"), state, text)
    return table
