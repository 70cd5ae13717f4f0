"""`driftbell explain`: where the numbers of an incident come from."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from driftbell.service.commands.options import configured, where_options

if TYPE_CHECKING:
    from driftbell.alerts.record import Incident
    from driftbell.service.explain import Count, Explanation


@click.command(name="explain")
@click.argument("incident")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@where_options
def command(config_file: Path | None, data_dir: Path | None, incident: str, as_json: bool) -> None:
    """Count the numbers of INCIDENT again from the stored calls.

    The metric of the incident for its own time, the day and the week before, by segment, model and prompt version.
    """
    import time
    from dataclasses import asdict

    from driftbell.service import oncall
    from driftbell.service.explain import explain
    from driftbell.service.stores import reading

    with reading(configured(config_file, data_dir)) as store:
        found = oncall.find(store, incident)
        told = explain(store, found, time.time())
    if as_json:
        click.echo(json.dumps(asdict(told)))
        return
    _show(found, told)


def _show(incident: "Incident", told: "Explanation") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from driftbell.alerts.line import incident_line
    from driftbell.alerts.wording import moment, quantity

    def cell(count: "Count") -> str:
        value = "-" if count.value is None else quantity(count.value, told.unit)
        return f"{value} [dim]({count.n:,})[/]"

    console, line, lead = Console(), incident_line(incident), incident.lead
    console.print(f"[bold]{escape(str(line['title']))}[/]", soft_wrap=True)
    console.print(escape(str(line["cause_text"])), soft_wrap=True)
    if lead.observed is not None and lead.usual is not None:
        seen, usual = quantity(lead.observed, lead.unit), quantity(lead.usual, lead.unit)
        console.print(f"The detector saw {seen} where {usual} is usual, on {lead.n:,} observations.\n")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(told.metric)
    for period in told.periods:
        table.add_column(period.label, justify="right")
    for each in (line for line in told.lines if any(count.n for count in line.counts)):
        table.add_row(escape(each.slice), *map(cell, each.counts))
    console.print(table)
    first = told.periods[0]
    console.print(
        f"\n[dim]incident: {moment(first.since, 'UTC')} to {moment(first.until, 'UTC')}; observations in brackets[/]"
    )
