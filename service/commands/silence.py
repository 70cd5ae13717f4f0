"""`driftbell silence`: keep something quiet for a while."""

from pathlib import Path

import click

from driftbell.service.commands.options import by_option, configured, where_options


def _seconds(_context: click.Context, _parameter: click.Parameter, text: str) -> float:
    from driftbell.detectors.duration import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(name="silence")
@click.option("--for", "seconds", required=True, callback=_seconds, metavar="TIME", help="How long: 30m, 4h, 2d.")
@click.option("--workflow", help="Only this workflow.")
@click.option("--family", help="Only this family: cost, quality, retrieval, bypass, reliability, silent, instrument.")
@click.option("--segment", help="Only this segment.")
@click.option("--incident", help="Only this incident.")
@click.option("--reason", default="", help="Why; others see it.")
@by_option
@where_options
def command(
    config_file: Path | None,
    data_dir: Path | None,
    by: str,
    seconds: float,
    workflow: str | None,
    family: str | None,
    segment: str | None,
    incident: str | None,
    reason: str,
) -> None:
    """Keep matching incidents quiet for a while.

    They are still recorded; what is open at the end is told then.
    """
    import time

    from driftbell.alerts import actions
    from driftbell.alerts.wording import duration, moment
    from driftbell.service import oncall
    from driftbell.service.stores import reading

    target = {"workflow": workflow, "family": family, "segment": segment, "incident_id": incident}
    config = configured(config_file, data_dir)
    with reading(config) as store, oncall.acting(store, incident) as tx:
        made = actions.silence(tx, by=by, now=time.time(), seconds=seconds, reason=reason, **target)
    click.echo(f"{made.id}: quiet for {duration(seconds)}, until {moment(made.ends_at, config.alerts.timezone)}")
