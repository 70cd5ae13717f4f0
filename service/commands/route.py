"""`driftbell route`: who would be told of an incident, and why?"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from driftbell.service.commands.options import configured, where_options

if TYPE_CHECKING:
    from driftbell.alerts.routing import Silence
    from driftbell.service.config import Config


FAMILIES = ("cost", "quality", "retrieval", "bypass", "reliability", "silent", "instrument")
SEVERITIES = ("page", "ticket", "info")


@click.command(name="route")
@click.option("--workflow", default="sample", help="Workflow of the incident.")
@click.option(
    "--family", type=click.Choice(FAMILIES), default="cost", show_default=True, help="Family of the incident."
)
@click.option("--severity", type=click.Choice(SEVERITIES), default="page", show_default=True, help="How urgent it is.")
@click.option("--owner", help="Owner of the workflow.")
@click.option("--risk-tier", help="Risk tier in which it shows.")
@click.option("--segment", help="Segment in which it shows.")
@click.option("--at", "moment", help="When it opens: epoch seconds or 2026-11-10T03:00:00+01:00.  [default: now]")
@where_options
def command(config_file: Path | None, data_dir: Path | None, moment: str | None, **facts: str | None) -> None:
    """Say who would be told of an incident.

    Nothing is sent or stored. Quiet hours, maintenance and the silences of the store count as they would at that time.
    Exit code 1 when nobody would be told because no route leads to a channel.
    """
    import time

    from driftbell.alerts import wording
    from driftbell.alerts.proof import sample_incident
    from driftbell.alerts.routing import NOBODY, dry_run, passed_over
    from driftbell.service import api_input

    config = configured(config_file, data_dir)
    given = api_input.moment(moment, "--at")
    now = time.time() if given is None else given
    known = {name: text for name, text in sorted(facts.items()) if text}
    incident = sample_incident(known, now)
    told = ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in known.items())
    click.echo(f"{told}; {wording.moment(now, config.alerts.timezone)}\n")
    for line in passed_over(incident, config.alerts):
        click.echo(line)
    lines = dry_run(incident, now, config.alerts, _silences(config, now))
    for line in lines:
        click.echo(line)
    if lines[0].startswith(NOBODY):
        raise click.exceptions.Exit(1)


def _silences(config: "Config", now: float) -> "list[Silence]":
    from driftbell.alerts import history
    from driftbell.service import checkup
    from driftbell.service.stores import reading

    if not checkup.exists(config):
        return []
    with reading(config) as store:
        return history.silences(store.read(), now)
