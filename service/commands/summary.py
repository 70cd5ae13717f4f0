"""`driftbell summary`: the weekly drift summary, on screen, in a file, or sent."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from driftbell.service.commands.options import configured, where_options

if TYPE_CHECKING:
    from driftbell.alerts.summary import Summary

FORMATS = ("text", "html", "json")


@click.command(name="summary")
@click.option("--workflow", help="Only this workflow.")
@click.option("--week", metavar="YYYY-Www", help="Such as 2026-W46; the last full week by default.")
@click.option("--zone", help="Time zone in which the week begins, such as Europe/Berlin.")
@click.option("--recipient", help="As this recipient of the configuration gets it.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file instead of the screen.")
@click.option("--send", is_flag=True, help="Send it by e-mail, to --to or to the recipient's addresses.")
@click.option("--dry-run", is_flag=True, help="Tell to whom it would go; with --to, send it there and nowhere else.")
@click.option("--to", metavar="ADDRESS", help="With --send or --dry-run: to this address only, as a trial.")
@where_options
def command(
    config_file: Path | None,
    data_dir: Path | None,
    workflow: str | None,
    week: str | None,
    zone: str | None,
    recipient: str | None,
    form: str,
    out: Path | None,
    send: bool,
    dry_run: bool,
    to: str | None,
) -> None:
    """Compute the summary of one week. Without --send nothing leaves this machine."""
    import time

    from driftbell.alerts.summary import asked_for, summarise
    from driftbell.service import weekly
    from driftbell.service.failure import Failure
    from driftbell.service.stores import reading

    config = configured(config_file, data_dir)
    settings = weekly.settings(config)
    now = time.time()
    try:
        who, when = asked_for(settings, now, week, zone, recipient)
    except ValueError as error:
        raise Failure(str(error)) from None
    with reading(config) as store:
        if workflow is not None:
            weekly.known_workflow(store, workflow)
        summary = summarise(weekly.source(store, config), settings, who, when, workflow=workflow, now=now)
        if dry_run and not to:
            told = ", ".join(weekly.addresses(store, config, who, to))
            click.echo(f"would go to {told}; nothing was sent. To see it in a mail program: --dry-run --to ADDRESS")
        elif send or dry_run:
            addresses = weekly.send_now(store, config, who, summary, to, whole=workflow is None)
            click.echo(f"sent to {', '.join(addresses)}")
            return
    _show(summary, form, out)


def _show(summary: "Summary", form: str, out: Path | None) -> None:
    text = {"text": summary.rendered.text, "html": summary.rendered.html, "json": summary.json}[form]
    if out is None:
        click.echo(text)
        return
    from driftbell.service.failure import Failure

    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"cannot write {out}: {error.strerror}") from None
    click.echo(f"{out}: {summary.rendered.subject}")
