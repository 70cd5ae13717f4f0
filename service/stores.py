"""Opening the store from the command line, beside a service that may be running on it."""

from collections.abc import Iterator
from contextlib import contextmanager

from driftbell.collectors.store import FILE, Store
from driftbell.service.app import open_store
from driftbell.service.config import Config
from driftbell.service.failure import Failure
from driftbell.service.ownership import Ownership


@contextmanager
def reading(config: Config) -> Iterator[Store]:
    """The store of a configuration, which must exist; nothing is created by asking."""
    if not (config.data_dir / FILE).exists():
        raise Failure(f"there is no data in {config.data_dir}; name the folder of the service with --data-dir")
    store = open_store(config)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def owned_or_beside(config: Config) -> Iterator[bool]:
    """Whether no service runs on the store, which none then can start on for as long as the context lasts."""
    try:
        ownership = Ownership(config.data_dir)
    except Failure:
        yield False
        return
    try:
        yield True
    finally:
        ownership.release()
