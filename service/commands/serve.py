"""`driftbell serve`: receiver, detectors, alerts and API in one process."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from driftbell.service.commands.options import configured, where_options

if TYPE_CHECKING:
    from driftbell.collectors.clickhouse.shard import Shard
    from driftbell.service.config import Config

STOP_SECONDS = 4.5


@click.command(name="serve")
@where_options
@click.option("--http", metavar="HOST:PORT", help="OTLP/HTTP, API and health; 127.0.0.1:4318 unless configured.")
@click.option("--grpc", metavar="HOST:PORT", help="OTLP/gRPC; 127.0.0.1:4317 unless configured; 'off' for none.")
@click.option("--shard", metavar="I/N", help="Watch a part of the workflows: 0/4 is the first of four.  [default: all]")
@click.option("--receive-only", is_flag=True, help="Store what comes and watch nothing; others do.")
@click.option("-v", "--verbose", is_flag=True, help="Log what is received and decided, too.")
def command(
    config_file: Path | None,
    data_dir: Path | None,
    http: str | None,
    grpc: str | None,
    shard: str | None,
    receive_only: bool,
    verbose: bool,
) -> None:
    """Receive calls over OTLP, watch them and ring.

    Prints one line 'ready http=… grpc=… data=…' when it accepts data. SIGTERM or Ctrl-C stops it within 5 s;
    whatever was acknowledged is stored. With a store in ClickHouse, --receive-only and --shard divide the work.
    """
    import gc
    import logging

    from driftbell.service.app import Service

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    config = listening(configured(config_file, data_dir), http, grpc)
    service = Service(config, shard=sharded(shard), watches=not receive_only)
    _stop_on_signals(service.stop)
    gc.set_threshold(50_000, 20, 50)  # rows make no cycles: looking for them was a twelfth of what a span costs
    service.run(lambda line: print(line, flush=True))


def listening(config: "Config", http: str | None, grpc: str | None) -> "Config":
    """The configuration with the addresses of the command line."""
    from driftbell.service.config import Listen

    given = {name: address for name, address in (("http", http), ("grpc", grpc)) if address is not None}
    if given.get("grpc") == "off":
        given["grpc"] = None  # type: ignore[assignment]
    for option, address in given.items():
        if address is not None:
            _checked(option, address)
    return config.model_copy(update={"listen": Listen(**{**config.listen.model_dump(), **given})})


def sharded(text: str | None) -> "Shard":
    """The shard that ``I/N`` means, or the only one."""
    from driftbell.collectors.clickhouse.shard import Shard, parse_shard

    try:
        return Shard() if text is None else parse_shard(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--shard") from None


def _checked(option: str, address: str) -> None:
    from driftbell.service.config import parse_address

    try:
        parse_address(address)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"--{option}") from None


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """Stop in order; a second signal, or work that takes too long, ends the process at once.

    Ending at once is safe: what was acknowledged is committed, and an unfinished cycle is rolled back and repeated.
    """
    import os
    import signal
    import threading

    def end(_signal: int, _frame: object) -> None:
        if watchdog.is_alive():
            os._exit(0)
        watchdog.start()
        stop()

    watchdog = threading.Timer(STOP_SECONDS, os._exit, (0,))
    watchdog.daemon = True
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
