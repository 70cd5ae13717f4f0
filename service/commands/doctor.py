"""`driftbell doctor`: is this installation in order?"""

from pathlib import Path

import click

from driftbell.service.commands.options import configured, where_options


@click.command(name="doctor")
@click.option("--send-test", is_flag=True, help="Send a test message on every configured channel.")
@where_options
def command(config_file: Path | None, data_dir: Path | None, send_test: bool) -> None:
    """Check this installation.

    Ports, store, prices, secrets, channels, clock, and how far the telemetry can be trusted. Exit code 1 when
    something is bad.
    """
    import time

    from rich.console import Console
    from rich.markup import escape

    from driftbell.alerts.channels.build import build_channels
    from driftbell.service import checkup
    from driftbell.service.stores import reading

    config, now = configured(config_file, data_dir), time.time()
    found = [*checkup.installation(config), *checkup.shared_store(config)]
    if checkup.exists(config):
        with reading(config) as store:
            found += checkup.data(store, now)
    else:
        found.append(checkup.Check("store", "note", f"{config.data_dir} has no data yet; driftbell serve makes it"))
    if config.alerts.channels:
        found += checkup.links(config.alerts.links)
    found += checkup.channels(build_channels(config.alerts), send_test, now)
    console = Console()
    colours = {"good": "green", "note": "yellow", "bad": "bold red"}
    for check in found:
        colour = colours[check.verdict]
        console.print(f"[{colour}]{check.verdict:4}[/] {check.name:10} {escape(check.text)}", soft_wrap=True)
    if any(check.verdict == "bad" for check in found):
        raise click.exceptions.Exit(1)
