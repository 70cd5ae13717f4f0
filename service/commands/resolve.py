"""`driftbell resolve`: somebody says that an incident is over."""

from pathlib import Path

import click

from driftbell.service.commands.options import by_option, configured, where_options


@click.command(name="resolve")
@click.argument("incident")
@by_option
@where_options
def command(config_file: Path | None, data_dir: Path | None, by: str, incident: str) -> None:
    """Close INCIDENT.

    What still fires stays quiet until it fires anew.
    """
    import time

    from driftbell.alerts import actions
    from driftbell.service import oncall
    from driftbell.service.evidence import Evidence
    from driftbell.service.stores import reading

    config = configured(config_file, data_dir)
    with reading(config) as store, oncall.acting(store, incident) as tx:
        actions.resolve(tx, incident, by, time.time(), config.alerts, Evidence(store))
    click.echo(f"{incident} resolved by {by}")
