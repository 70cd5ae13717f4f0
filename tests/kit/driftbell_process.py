"""`driftbell serve` as a process of its own, to be stopped and killed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DRIFTBELL = [sys.executable, "-c", "from driftbell.service.cli import main; main()"]


def driftbell(*arguments: object, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*DRIFTBELL, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "COLUMNS": "100", **environment},
    )


@contextmanager
def serving(folder: Path, *arguments: str, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running service and its URL; killed at the end if it still runs."""
    command = [*DRIFTBELL, "serve", "--data-dir", str(folder), "--http", f"127.0.0.1:{port}", "--grpc", "off"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("ready http="):
                process.kill()
                raise AssertionError(f"not ready: {line}{process.communicate()[1]}")
            yield process, "http://" + line.partition("http=")[2].split()[0]
        finally:
            process.kill()
