"""`driftbell incidents`: what rang, what still does, and why who was told of it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from driftbell.service.commands.options import configured, where_options

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from driftbell.alerts.announce import Transition
    from driftbell.alerts.record import Incident
    from driftbell.alerts.settings import AlertSettings
    from driftbell.collectors.store import Store

COLOURS = {"open": "red", "unknown": "yellow", "resolved": "green"}
DELIVERY_COLOURS = {"sent": "green", "failed": "bold red", "pending": "yellow", "attempting": "yellow"}


@click.command(name="incidents")
@click.argument("incident", required=False)
@where_options
@click.option("--open", "only_open", is_flag=True, help="Only those that are not resolved.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, every field.")
def command(
    config_file: Path | None, data_dir: Path | None, only_open: bool, limit: int, as_json: bool, incident: str | None
) -> None:
    """List incidents, or tell all of one.

    Without INCIDENT the newest come first. With one, every decision about it is shown with its reason, and every
    message with what became of it.
    """
    from driftbell.alerts.line import incident_line
    from driftbell.service import oncall
    from driftbell.service.stores import reading

    config = configured(config_file, data_dir)
    with reading(config) as store:
        if incident is not None:
            _one(store, oncall.find(store, incident), config.alerts, as_json=as_json)
            return
        found = oncall.listed(store, "open" if only_open else "all", limit)
    if as_json:
        for each in found:
            click.echo(json.dumps(incident_line(each)))
        return
    if not found:
        click.echo("No open incident." if only_open else "No incident so far.")
        return
    from rich.console import Console

    Console().print(incident_table(found))


def incident_table(incidents: "list[Incident]") -> "Table":
    """The incidents as a table that fits 80 columns."""
    from rich.markup import escape

    from driftbell.alerts.line import incident_line
    from driftbell.alerts.wording import moment

    table = _columns("since (UTC)", "state", "what, where and why", wide=2)
    for number, incident in enumerate(incidents):
        line = incident_line(incident)
        state = f"[{COLOURS[incident.state]}]{incident.state}[/]"
        text = f"[bold]{escape(str(line['title']))}[/]\n{escape(str(line['cause_text']))}\n[dim]{incident.id}[/]"
        gap = "" if number + 1 == len(incidents) else "\n"
        table.add_row(moment(incident.started_at, "UTC").removesuffix(" UTC"), state, text + gap)
    return table


def _one(store: "Store", incident: "Incident", settings: "AlertSettings", *, as_json: bool) -> None:
    import time

    from driftbell.alerts import history
    from driftbell.alerts.line import incident_line

    events = history.events(store.read(), incident.id)
    sent = history.deliveries(store.read(), incident.id)
    if as_json:
        click.echo(json.dumps({**incident_line(incident), "history": events, "deliveries": sent}))
        return
    from rich.console import Console
    from rich.markup import escape

    from driftbell.alerts.message import build
    from driftbell.alerts.render import rows

    said: dict[str, Transition] = {"open": "opened", "unknown": "unknown", "resolved": "resolved"}
    until = incident.resolved_at or time.time()
    message = build(incident, said[incident.state], "shown", until, settings)
    console, zone = Console(), settings.timezone
    console.print(f"[{COLOURS[incident.state]}]{incident.state}[/] [bold]{escape(incident.subject or incident.id)}[/]")
    for row in rows(message, zone):
        console.print(f"[dim]{row.label:10}[/]{escape(row.text)}", highlight=False)
    console.print("\n[bold]Decisions[/]", _decisions(events, zone), sep="\n")
    console.print("\n[bold]Messages[/]", _messages(sent, zone), sep="\n")


def _decisions(events: list[dict[str, object]], zone: str) -> "RenderableType":
    from rich.markup import escape

    from driftbell.alerts.wording import moment

    table = _columns("when", "kind", "decision and reason", wide=2)
    for event in events:
        times = int(str(event["times"]))
        again = f" [dim]({times} times, last {moment(float(str(event['last_ts'])), zone)})[/]" if times > 1 else ""
        about = f"{event['detail']}: " if event["detail"] else ""
        text = escape(f"{about}{event['reason']}") + again
        table.add_row(moment(float(str(event["ts"])), zone), str(event["kind"]).replace("_", " "), text)
    return table


def _messages(sent: list[dict[str, object]], zone: str) -> "RenderableType":
    from rich.markup import escape

    from driftbell.alerts.wording import moment

    if not sent:
        return "none: see the decisions above"
    table = _columns("when", "channel", "message", "reason", wide=3)
    for row in sent:
        colour = DELIVERY_COLOURS.get(str(row["state"]), "dim")
        tried = f", {row['attempts']} attempts" if int(str(row["attempts"])) > 1 else ""
        error = f"; {row['error']}" if row["error"] else ""
        at = moment(float(str(row["sent_at"] or row["created_at"])), zone)
        state = f"{row['transition']}, [{colour}]{row['state']}[/]{tried}"
        table.add_row(at, escape(str(row["channel"])), state, escape(f"{row['reason']}{error}"))
    return table


def _columns(*names: str, wide: int) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for index, name in enumerate(names):
        if index == wide:
            table.add_column(name, ratio=1, overflow="fold")
        else:
            table.add_column(name, no_wrap=index == 0)
    return table
