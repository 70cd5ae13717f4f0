"""From one SQLite file to ClickHouse: copied, compared, and then served from there with the same configuration."""

import math
import time
from collections.abc import Callable

from driftbell.alerts.secret import SecretMissingError, resolve
from driftbell.collectors.batch import StoreUnavailableError
from driftbell.collectors.clickhouse.client import connect
from driftbell.collectors.clickhouse.copying import Copied, Copier, differences
from driftbell.collectors.clickhouse.store import ClickHouseStore
from driftbell.collectors.query import Usage
from driftbell.collectors.store import FILE, Store
from driftbell.service.config import Config
from driftbell.service.failure import Failure
from driftbell.service.migrations import MIGRATIONS
from driftbell.service.ownership import Ownership, check_finished


def migrate(config: Config, progress: Callable[[Copied], object]) -> int:
    """Copy the data folder's calls and points to the store of ``config``; how many calls are there then.

    Incidents, detector state and summaries stay in the folder, which the first detector goes on with. May be
    interrupted and run again. Raises `Failure`, also when the copy does not tell the same.
    """
    if config.store is None:
        raise Failure("there is no store: to migrate to; add store: clickhouse://… to the configuration")
    if not (config.data_dir / FILE).exists():
        raise Failure(f"there is no data in {config.data_dir}; name the folder of the service with --data-dir")
    check_finished(config.data_dir)
    owner = Ownership(config.data_dir)
    try:
        return _migrate(config, config.store, progress)
    except SecretMissingError as error:
        raise Failure(f"store_password: {error}") from None
    except StoreUnavailableError as error:
        raise Failure(f"the copy stopped: {error}. What was copied stays; migrate again to go on") from None
    finally:
        owner.release()


def _migrate(config: Config, url: str, progress: Callable[[Copied], object]) -> int:
    source = Store.open(config.data_dir, MIGRATIONS, config.price_table())
    try:
        client = connect(url, "" if config.store_password is None else resolve(config.store_password))
        target = ClickHouseStore.connect(client, config.data_dir, MIGRATIONS, config.price_table(), watches=False)
        try:
            source.refresh_all()
            copier = Copier(source.read(), client, time.time())
            if not copier.begun and target.workflows():
                raise Failure("the store holds calls already; name an empty database, for copies cannot be mixed")
            for copied in copier.run():
                progress(copied)
            _compare(source, target)
            return target.count_calls()
        finally:
            target.close()
    finally:
        source.close()


def _compare(source: Store, target: Store) -> None:
    names = [workflow.name for workflow in source.workflows()]
    found = differences(names, source, target)
    if [w.name for w in target.workflows()] != names:
        found.insert(0, f"{len(names)} workflows here, {len(target.workflows())} in ClickHouse")
    sums = {tuple(one.group.values()): one for one in target.usage(("workflow",))}
    for one in source.usage(("workflow",)):
        same = sums.get(tuple(one.group.values()))
        told = (one.calls, one.input_tokens, one.output_tokens)
        if same is None or told != (same.calls, same.input_tokens, same.output_tokens) or not _close(one, same):
            found.append(f"{one.group['workflow']}: {one.calls} calls with other sums in ClickHouse")
    if found:
        raise Failure("the copy does not tell the same: " + "; ".join(found[:10]))


def _close(one: Usage, other: Usage) -> bool:
    if one.cost_usd is None or other.cost_usd is None:
        return one.cost_usd is other.cost_usd
    return math.isclose(one.cost_usd, other.cost_usd, rel_tol=1e-9)
