"""`driftbell silence`: keep something quiet for a while, see what is quiet, end it early."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from driftbell.service.commands.options import by_option, configured, where_options

if TYPE_CHECKING:
    from driftbell.alerts.routing import Silence


def _seconds(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    from driftbell.detectors.duration import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(name="silence")
@click.option("--for", "seconds", callback=_seconds, metavar="TIME", help="How long: 30m, 4h, 2d.")
@click.option("--workflow", help="Only this workflow, or those of a pattern such as 'claims-*'.")
@click.option("--family", help="Only this family: cost, quality, retrieval, bypass, reliability, silent, instrument.")
@click.option("--segment", help="Only this segment.")
@click.option("--incident", "incident_id", help="Only this incident.")
@click.option("--reason", default="", help="Why; others see it.")
@click.option("--list", "listing", is_flag=True, help="List what is silenced instead.")
@click.option("--end", metavar="ID", help="End this silence now instead.")
@by_option
@where_options
def command(
    config_file: Path | None,
    data_dir: Path | None,
    by: str,
    end: str | None,
    listing: bool,
    seconds: float | None,
    reason: str,
    **target: str | None,
) -> None:
    """Keep matching incidents quiet for a while.

    They are still recorded; what is open at the end is told then. --list shows the silences, --end takes one back.
    """
    import time

    from driftbell.alerts import actions, history
    from driftbell.alerts.wording import duration, moment
    from driftbell.service import oncall
    from driftbell.service.failure import Failure
    from driftbell.service.stores import reading
    from driftbell.service.weekly import known_workflow

    if sum((seconds is not None, listing, end is not None)) != 1:
        raise click.UsageError("Give one of --for TIME, --list or --end ID.")
    config, now = configured(config_file, data_dir), time.time()
    zone = config.alerts.timezone
    with reading(config) as store:
        if listing:
            lines = [told(silence, zone) for silence in history.silences(store.read(), now)]
            click.echo("\n".join(lines) or "Nothing is silenced.")
            return
        with oncall.acting(store, target["incident_id"]) as tx:
            if end is not None:
                actions.end_silence(tx, end, now)
                click.echo(f"{end} ended")
                return
            made = actions.silence(tx, by=by, now=now, seconds=seconds or 0.0, reason=reason, **target)
        if made.workflow is not None:
            try:
                known_workflow(store, made.workflow)
            except Failure as unknown:  # it may come yet, but more often it is a slip of the pen
                click.echo(f"note: {unknown}", err=True)
    click.echo(f"{made.id}: quiet for {duration(seconds or 0.0)}, until {moment(made.ends_at, zone)}")


def told(silence: "Silence", zone: str) -> str:
    """A silence in one line."""
    from driftbell.alerts.plain import plain
    from driftbell.alerts.wording import moment

    names = ("workflow", "family", "segment", "incident_id")
    what = ", ".join(f"{n.removesuffix('_id')} {plain(getattr(silence, n))}" for n in names if getattr(silence, n))
    why = f" ({silence.reason})" if silence.reason else ""
    return f"{silence.id}: {what}, until {moment(silence.ends_at, zone)}, by {silence.made_by}{why}"
