"""`driftbell import`: history from elsewhere, so that what is usual is known from the first day."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from driftbell.service.commands.options import configured, where_options

if TYPE_CHECKING:
    from rich.console import Console

    from driftbell.collectors.imports.read import Format
    from driftbell.service.config import Config
    from driftbell.service.importing import Report

FORMATS = ("auto", "records", "otlp", "langfuse", "phoenix")
MOST_LISTED = 20


@click.command(name="import")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), default="auto", show_default=True)
@where_options
def command(config_file: Path | None, data_dir: Path | None, form: str, files: tuple[Path, ...]) -> None:
    """Import history, so that baselines start warm.

    FILES are call records (JSON Lines), files of the OpenTelemetry Collector's file exporter (JSON or proto), exports
    of Langfuse or Phoenix (JSON, JSON Lines, CSV, Parquet); gzip or plain. The service must be stopped. Nobody is told
    about the past. Importing twice changes nothing; without FILES, an interrupted import is finished.
    """
    import gc
    from typing import cast

    from rich.console import Console

    gc.set_threshold(200_000, 20, 50)  # millions of rows without a cycle: collecting them is a tenth of the time
    console = Console()
    named = None if form == "auto" else cast("Format", form)
    _tell(console, _run(console, files, named, configured(config_file, data_dir)))


def _run(console: "Console", files: tuple[Path, ...], form: "Format | None", config: "Config") -> "Report":
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from driftbell.service import importing

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        tasks = {path: shown.add_task(path.name, total=path.stat().st_size if path.is_file() else 1) for path in files}
        learning = shown.add_task("learning", total=None)
        progress = importing.Progress(
            read=lambda path, done: shown.update(tasks[path], completed=done),
            learned=lambda days, of: shown.update(learning, completed=days, total=of),
        )
        return importing.import_history(files, form, config, progress)


def _tell(console: "Console", report: "Report") -> None:
    from rich.markup import escape
    from rich.table import Table

    for each in report.files:
        console.print(f"{escape(str(each.path))}: {each.form}, {each.rows:,} rows, {each.bad:,} bad", highlight=False)
        for line in each.first_bad:
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    if report.new or report.days:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for title in ("workflow", "new calls", "new judgements", "days learned"):
            table.add_column(title, justify="left" if title == "workflow" else "right", overflow="fold")
        for name in sorted({*report.new, *report.days}):
            calls, judgements = report.new.get(name, (0, 0))
            days = f"{report.days[name]:.1f}" if name in report.days else "-"
            table.add_row(escape(name), f"{calls:,}", f"{judgements:,}", days)
        console.print(table)
    else:
        console.print("nothing new")
    if report.not_learned:
        console.print(f"watched already, so stored but not learned: {', '.join(map(escape, report.not_learned))}")
    if report.too_old:
        console.print(f"{report.too_old:,} calls are older than what was forgotten before, and were left out")
    _tell_incidents(console, report)


def _tell_incidents(console: "Console", report: "Report") -> None:
    from rich.markup import escape

    from driftbell.alerts.line import incident_line
    from driftbell.alerts.wording import moment

    found = sorted(report.incidents, key=lambda incident: incident.opened_at)
    if found:
        console.print(f"\n{len(found)} incidents of the past; nobody was told, and none is open:", highlight=False)
    for incident in found[:MOST_LISTED]:
        when = moment(incident.opened_at, "UTC").removesuffix(" UTC")
        title = escape(str(incident_line(incident)["title"]))
        console.print(f"[dim]{when:17}[/] {title}", highlight=False, soft_wrap=True)
    if len(found) > MOST_LISTED:
        console.print(f"… and {len(found) - MOST_LISTED} more: driftbell incidents")
