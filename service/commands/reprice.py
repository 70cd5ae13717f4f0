"""`driftbell reprice`: new prices for calls that are already stored."""

from pathlib import Path

import click

from driftbell.service.commands.options import configured, where_options


@click.command(name="reprice")
@click.option("--since", metavar="TIME", help="Calls from then on: 2026-11-01, or how long ago (7d).  [default: all]")
@click.option("--until", metavar="TIME", help="Calls before then.")
@where_options
def command(config_file: Path | None, data_dir: Path | None, since: str | None, until: str | None) -> None:
    """Reckon stored calls again with the prices of the configuration.

    What the provider itself stated stays. Costs, points and summaries follow; incidents that were opened on the old
    prices stay as they were told. A running service goes on with the prices that it was started with: restart it
    first.
    """
    import time

    from rich.console import Console
    from rich.progress import Progress

    from driftbell.service.moments import moment
    from driftbell.service.stores import reading

    config, now = configured(config_file, data_dir), time.time()
    first = float("-inf") if since is None else moment("--since", since, now)
    last = float("inf") if until is None else moment("--until", until, now)
    with reading(config) as store, Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("reckoning", total=store.count_calls(first, last))
        changed = store.reprice(config.price_table(), first, last, lambda n: shown.advance(task, n))
        shown.update(task, description="adding up", total=None)
        store.refresh_all()
    click.echo(f"{changed:,} calls have another cost now")
