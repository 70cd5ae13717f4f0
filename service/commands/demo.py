"""`driftbell demo`: everything on a sample of real traffic, in two minutes."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from driftbell.service.demo import Outcome

INTRODUCTION = """Twenty days of three LLM features: 51,904 calls and tasks of real production traffic, with eleven \
incidents put in, sent over OTLP/HTTP to a fresh driftbell on 127.0.0.1.
"""
NEXT_STEPS = """[bold]Your own application[/bold] needs four lines; the function stays as it was:

    from driftbell import monitor
    monitor.configure(service="helpdesk")

    @monitor.observe(workflow="triage", segment=lambda ticket: ticket.country)
    def triage(ticket): ...

and a service beside it: [bold]driftbell serve[/bold]. README.md tells more."""


@click.command(name="demo")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo-out"),
    show_default=True,
    help="Folder for the messages and the weekly summary.",
)
@click.option("--page", is_flag=True, help="Then show it all on the page, until Ctrl-C.")
def command(out: Path, page: bool) -> None:
    """Show everything on a sample of real traffic.

    Twenty days of three LLM features are played into a fresh service in about a minute. The service runs on a
    temporary folder and loopback only; the traffic is sent over OTLP/HTTP.
    """
    import tempfile
    import time

    from rich.console import Console

    from driftbell.service.demo import write_files

    console = Console()
    console.print(INTRODUCTION)
    began = time.monotonic()

    def report(outcome: "Outcome", address: str) -> None:
        written = write_files(outcome, out)
        _report(console, outcome, out, len(written), time.monotonic() - began)
        if page:
            _wait(console, address)

    with tempfile.TemporaryDirectory(prefix="driftbell-demo-") as folder:
        _play(console, Path(folder), time.time(), report)


def _wait(console: "Console", address: str) -> None:
    """Until Ctrl-C or SIGTERM."""
    import signal
    import threading

    over = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda *_: over.set())
    console.print(f"\n[bold]The page: {address}[/bold] (Ctrl-C ends it)", highlight=False)
    while not over.wait(1.0):
        pass


def _play(console: "Console", folder: Path, now: float, report: Callable[["Outcome", str], None]) -> None:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from driftbell.alerts.wording import moment
    from driftbell.service.demo import RECORDS, Demo

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=RECORDS)

        def show(at: float, sent: int) -> None:
            progress.update(task, completed=sent, description=moment(at, "UTC"))

        def done(outcome: "Outcome", address: str) -> None:
            progress.stop()
            report(outcome, address)

        Demo(folder, now, show).run(done)


def _report(console: "Console", outcome: "Outcome", out: Path, files: int, seconds: float) -> None:
    from driftbell.service.commands.incidents import incident_table

    told = f"{outcome.received} signed webhook messages" if outcome.received else "no message"
    console.print(f"[bold]{len(outcome.incidents)} incidents, {told}, in {seconds:.0f} s[/bold]\n")
    if outcome.incidents:
        console.print(incident_table(outcome.incidents))
    console.print(f"{_found(outcome)}\n", soft_wrap=True, highlight=False)
    console.print(f"[bold]{outcome.summary.rendered.subject}[/bold]", soft_wrap=True)
    console.print(f"\nEach message as text and HTML, and the summary in three forms: {files} files in {out}/.")
    console.print(f"Open {out}/weekly-summary.html\n")
    console.print(NEXT_STEPS, highlight=False)


def _found(outcome: "Outcome") -> str:
    """How much of what was put in rang, what did not, and what rang besides."""
    from driftbell.service.planted import PLANTED

    missed = "; ".join(f"{each.what} ({each.workflow})" for each in outcome.missed)
    told = f"Of the {len(PLANTED)} incidents put in, {len(PLANTED) - len(outcome.missed)} rang"
    told += f"; not found: {missed}." if missed else "."
    return f"{told} {len(outcome.unasked)} rang besides." if outcome.unasked else f"{told} Nothing rang besides."
