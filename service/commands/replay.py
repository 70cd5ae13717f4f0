"""`driftbell replay`: what would have rung on history that you have."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from driftbell.service.commands.options import config_option, configured

if TYPE_CHECKING:
    from rich.console import Console

    from driftbell.service.config import Config
    from driftbell.service.inject import Injection
    from driftbell.service.replay import Report


MOST_WEEKS = 60
"""Of a longer file only the weeks with an incident are listed."""
SMALL = 1 << 20
"""Bytes of a file for which other processes are not worth their start."""
MOST_JOBS = 8


@click.command(name="replay")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--prices", type=click.Path(path_type=Path), help="Prices of models (JSON), per million tokens.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write one JSON line per incident to this file.")
@config_option
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep the incidents in this folder, no service's.")
@click.option(
    "--inject",
    "injections",
    multiple=True,
    metavar="KIND[=AMOUNT][@KEY=…]",
    help="Would this have been found? Such as cost_step=1.5@segment=high,at=20; once or several times.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    help="Processes that share the workflows; if not given, one a core, at most eight.",
)
def command(
    config_file: Path | None,
    data_dir: Path | None,
    prices: Path | None,
    out: Path | None,
    injections: tuple[str, ...],
    jobs: int | None,
    file: Path,
) -> None:
    """Play call records through the detectors.

    FILE is JSON Lines, optionally gzip, in the order of time. The detectors are those of the service, in event time;
    nothing is sent. Incidents are kept only with --data-dir. Each --inject changes a copy of the history in one way
    and tells whether, and when, that would have been found.
    """
    import gc
    from contextlib import nullcontext

    from rich.console import Console

    from driftbell.service.config import load_prices
    from driftbell.service.failure import Failure
    from driftbell.service.inject import parse_injection

    gc.set_threshold(200_000, 20, 50)  # millions of records without a cycle: collecting them is a tenth of the time
    config = configured(config_file, None)
    if prices is not None:
        config = config.model_copy(update={"prices": {**config.prices, **load_prices(prices)}})
    wanted = [parse_injection(text) for text in injections]
    if not file.is_file():
        raise Failure(f"cannot read {file}: there is no such file")
    try:
        target: IO[str] | None = None if out is None else out.open("w", encoding="utf-8")
    except OSError as error:
        raise Failure(f"cannot write {out}: {error.strerror}") from None
    console = Console()
    with target if target is not None else nullcontext():
        report = _run(console, file, config, data_dir, target, jobs or _cores(file))
    _tell(console, report)
    if report.records:
        for injection in wanted:
            _inject(console, file, config, injection, report)


def _cores(file: Path) -> int:
    """Cores that are ours; one for a file that is played before other processes have started."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_JOBS) if file.stat().st_size > SMALL else 1


def _run(
    console: "Console", file: Path, config: "Config", folder: Path | None, out: IO[str] | None, jobs: int
) -> "Report":
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

        return replay(file, config, opened, lambda read: progress.update(task, completed=read), folder, jobs=jobs)


def _inject(console: "Console", file: Path, config: "Config", injection: "Injection", untouched: "Report") -> None:
    """Run the history with one injection and tell what came of it."""
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from driftbell.alerts.wording import duration, moment
    from driftbell.service.replay import inject

    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task(escape(injection.text), total=file.stat().st_size)
        outcomes = inject(file, config, injection, untouched, lambda read: bar.update(task, completed=read))
    begin = outcomes[0].injection.begin
    console.print(f"\n[bold]--inject {escape(injection.text)}[/] from {moment(begin, 'UTC')}", highlight=False)
    if begin - untouched.first < config.detectors.learn_days * 86_400.0:
        console.print("  it begins while the workflows are still being learned; set at= to a later day")
    for one in outcomes:
        found = "[red]not found[/]"
        if one.delay is not None:
            joined = "" if one.opened else " (told with an incident that was open)"
            found = f"[green]found after {duration(one.delay)}[/]: {escape(one.title.partition(': ')[2])}{joined}"
        console.print(f"  {escape(one.workflow)}: {found}", highlight=False, soft_wrap=True)


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
    for workflow, family, per_week in report.rates():
        console.print(f"  {workflow}: {family} {per_week:.2f} a week", markup=False, highlight=False)
    if report.too_late:
        console.print(f"{report.too_late:,} records came too late to be counted; sort the file by time")
    if report.bad.count:
        console.print(f"{report.bad.count:,} lines could not be read:", highlight=False)
        for number, reason in report.bad.first:
            console.print(f"  line {number}: {reason}", markup=False, highlight=False, soft_wrap=True)
