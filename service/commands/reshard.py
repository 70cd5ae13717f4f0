"""`driftbell reshard`: another number of detectors."""

from pathlib import Path

import click


@click.command(name="reshard")
@click.argument("folders", metavar="FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--into", required=True, multiple=True, type=click.Path(path_type=Path), help="New folder, in order.")
def command(folders: tuple[Path, ...], into: tuple[Path, ...]) -> None:
    """Divide the workflows of the data FOLDERs of all detectors anew, with their state and incidents.

    The detectors must be stopped. The folder that --into names first is that of shard 0, the next of shard 1. The old
    folders stay as they are, and must not be served again.
    """
    from driftbell.service.resharding import reshard

    for at, (folder, workflows) in enumerate(zip(into, reshard(folders, into), strict=True)):
        click.echo(f"{folder}: {workflows} workflows, for serve --shard {at}/{len(into)}")
