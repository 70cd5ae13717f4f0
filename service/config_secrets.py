"""Which secrets a configuration refers to, and which of them are not there."""

from collections.abc import Iterator

from driftbell.alerts.secret import SecretMissingError, resolve
from driftbell.service.config import Config


def missing_secrets(config: Config) -> list[str]:
    """One line per reference whose secret cannot be read now: ``token: the secret env:X is empty or not set``."""
    missing = []
    for path, reference in _references(config.model_dump(), ""):
        try:
            resolve(reference)
        except SecretMissingError as error:
            missing.append(f"{path}: {error}")
    return missing


def _references(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if value.startswith(("env:", "file:")):
            yield path, value
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _references(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for index, below in enumerate(value):
            yield from _references(below, f"{path}.{index}")
