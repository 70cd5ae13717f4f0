"""The tables of all packages, for the one store that holds them."""

from collections.abc import Sequence

from sqlite_utils import Migrations

from driftbell.alerts.schema import MIGRATIONS as ALERTS
from driftbell.detectors.schema import MIGRATIONS as DETECTORS

MIGRATIONS: Sequence[Migrations] = (DETECTORS, ALERTS)
"""What `Store.open` is given; the collectors' own come first by themselves."""
