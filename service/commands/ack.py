"""`driftbell ack`: somebody takes an incident, and may say what it was."""

from pathlib import Path

import click

from driftbell.service.commands.options import by_option, configured, where_options


@click.command(name="ack")
@click.argument("incident")
@click.option("--false-alarm", "verdict", flag_value="false_alarm", help="It was no incident: close it and count it.")
@click.option("--new-normal", "verdict", flag_value="new_normal", help="It is meant to be so from now on: close it.")
@by_option
@where_options
def command(config_file: Path | None, data_dir: Path | None, by: str, verdict: str | None, incident: str) -> None:
    """Take INCIDENT, or say what it was.

    Escalation stops; everyone who was told sees who has it.
    """
    import time

    from driftbell.alerts.actions import acknowledge
    from driftbell.service import oncall
    from driftbell.service.evidence import Evidence
    from driftbell.service.stores import reading

    config = configured(config_file, data_dir)
    with reading(config) as store, oncall.acting(store, incident) as tx:
        look = Evidence(store)
        taken = acknowledge(tx, incident, by, time.time(), config.alerts, verdict or "seen", look)  # type: ignore[arg-type]
    who = taken.ack.by if taken.ack else by
    click.echo(f"{incident} acknowledged by {who}" + (f" as {verdict.replace('_', ' ')}" if verdict else ""))
