"""`driftbell replay`: what would have rung on history that you have."""

import json
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from driftbell.service.commands.options import config_option, configured

if TYPE_CHECKING:
    from rich.console import Console

    from driftbell.service.config import Config
    from driftbell.service.replay import Report


MOST_WEEKS = 60
"""Of a longer file only the weeks with an incident are listed."""


@click.command(name="replay")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--prices", type=click.Path(path_type=Path), help="Prices of models (JSON), per million tokens.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write one JSON line per incident to this file.")
@config_option
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep the incidents in this folder, no service's.")
def command(config_file: Path | None, data_dir: Path | None, prices: Path | None, out: Path | None, file: Path) -> None:
    """Play call records through the detectors.

    FILE is JSON Lines, optionally gzip, in the order of time. The detectors are those of the service, in event time;
    nothing is sent. Incidents are kept only with --data-dir.
    """
    import gc
    from contextlib import nullcontext

    from rich.console import Console

    from driftbell.service.config import load_prices
    from driftbell.service.failure import Failure

    gc.set_threshold(200_000, 20, 50)  # millions of records without a cycle: collecting them is a tenth of the time
    config = configured(config_file, None)
    if prices is not None:
        config = config.model_copy(update={"prices": {**config.prices, **load_prices(prices)}})
    if not file.is_file():
        raise Failure(f"cannot read {file}: there is no such file")
    try:
        target: IO[str] | None = None if out is None else out.open("w", encoding="utf-8")
    except OSError as error:
        raise Failure(f"cannot write {out}: {error.strerror}") from None
    console = Console()
    with target if target is not None else nullcontext():
        report = _run(console, file, config, data_dir, target)
    _tell(console, report)


def _run(console: "Console", file: Path, config: "Config", folder: Path | None, out: IO[str] | None) -> "Report":
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from driftbell.alerts.wording import moment
    from driftbell.service.replay import replay

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(file.name, total=file.stat().st_size)

        def opened(line: dict[str, object]) -> None:
            if out is not None:
                out.write(json.dumps(line) + "\n")
                out.flush()
            when = moment(float(str(line["ts"])), "UTC").removesuffix(" UTC")
            progress.console.print(f"[dim]{when:17}[/] {escape(str(line['title']))}", highlight=False, soft_wrap=True)

        return replay(file, config, opened, lambda read: progress.update(task, completed=read), folder)


def _tell(console: "Console", report: "Report") -> None:
    """What would have been sent per week, and what could not be read."""
    weeks = report.per_week()
    count = max(round(report.weeks + 0.4999), 1)
    console.print(f"\n{report.records:,} records of {len(report.workflows)} workflows over {report.weeks:.1f} weeks")
    for week in range(count) if count <= MOST_WEEKS else sorted(weeks):
        found = weeks.get(week) or Counter()
        told = ", ".join(
            f"{found[severity]} {severity}" for severity in ("page", "ticket", "info") if found.get(severity)
        )
        console.print(f"week {week + 1}: {told or 'nothing'}", highlight=False)
    rate = len(report.lines) / report.weeks / max(len(report.workflows), 1)
    console.print(f"{len(report.lines)} incidents, {rate:.2f} per workflow and week; nothing was sent", highlight=False)
    if report.too_late:
        console.print(f"{report.too_late:,} records came too late to be counted; sort the file by time")
    if report.bad:
        console.print(f"{report.bad:,} lines could not be read:", highlight=False)
        for line in report.first_bad:
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
