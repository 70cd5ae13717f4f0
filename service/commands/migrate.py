"""`driftbell migrate`: from the file in the data folder to the store of the configuration."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from driftbell.service.commands.options import configured, where_options

if TYPE_CHECKING:
    from driftbell.collectors.clickhouse.copying import Copied


@click.command(name="migrate")
@where_options
def command(config_file: Path | None, data_dir: Path | None) -> None:
    """Copy the calls and points of a data folder to the store: of the configuration, and compare.

    The service must be stopped. An interrupted copy goes on where it was when this is run again. The file stays as it
    is; serve with the same folder goes on with its incidents and detector state.
    """
    from rich.console import Console
    from rich.progress import Progress

    from driftbell.service.migrating import migrate

    config = configured(config_file, data_dir)
    with Progress(console=Console(stderr=True)) as bar:
        tasks = {}

        def show(copied: "Copied") -> None:
            if copied.name not in tasks:
                tasks[copied.name] = bar.add_task(copied.name, total=copied.total)
            bar.update(tasks[copied.name], completed=copied.done)

        calls = migrate(config, show)
    click.echo(f"{calls:,} calls are in the store, and it tells what the file tells")
