"""`driftbell check-config`: is the whole file right?"""

from pathlib import Path

import click


@click.command(name="check-config")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Validate a configuration FILE.

    Every key, every name, every address is checked. Each mistake is one line with its place in the file; an unknown
    key names the nearest one that exists. A secret that is not set on this machine is only noted.
    """
    from driftbell.service.config import load_config
    from driftbell.service.config_secrets import missing_secrets

    config = load_config(file)
    for text in missing_secrets(config):
        click.echo(f"{file}: note: {text} (here; the service needs it when it uses it)")
    click.echo(f"{file}: valid")
