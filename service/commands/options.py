"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from driftbell.service.config import Config

F = TypeVar("F", bound=Callable[..., object])

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    envvar="DRIFTBELL_CONFIG",
    help="Configuration file (YAML). Without one, everything has its default.  [env: DRIFTBELL_CONFIG]",
)
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    envvar="DRIFTBELL_DATA_DIR",
    help="Folder of the store; overrides the configuration.  [env: DRIFTBELL_DATA_DIR]",
)
by_option = click.option(
    "--by", envvar=["DRIFTBELL_USER", "USER"], default="someone", help="Who does this.  [default: you]"
)


def where_options(command: F) -> F:
    """Add ``--config`` and ``--data-dir``: which store a command speaks of."""
    return config_option(data_dir_option(command))


def configured(config_file: Path | None, data_dir: Path | None) -> "Config":
    """The configuration that these two options mean."""
    from driftbell.service.config import load_config

    config = load_config(config_file)
    return config if data_dir is None else config.model_copy(update={"data_dir": data_dir})
