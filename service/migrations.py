"""The tables of all packages, for the one store that holds them."""

from collections.abc import Sequence

from sqlite_utils import Migrations

from driftbell.alerts.schema import MIGRATIONS as ALERTS

MIGRATIONS: Sequence[Migrations] = (ALERTS,)
"""What `Store.open` is given; the collectors' own come first by themselves."""
