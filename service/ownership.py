"""Ownership of a data folder: two services on one store would deliver and evaluate twice."""

import os
import sys
from pathlib import Path
from typing import IO

from driftbell.service.failure import Failure

if sys.platform != "win32":  # there, SQLite's own locks remain
    import fcntl


UNFINISHED = "import-unfinished"
"""A file of the data folder while an import is under way: a service on half of it would ring about the past."""


def check_finished(folder: Path) -> None:
    """Refuse a folder with half an import in it; raises `Failure`."""
    if (folder / UNFINISHED).exists():
        raise Failure(f"an import into {folder} was interrupted; finish it: driftbell import --data-dir {folder}")


class Ownership:
    """Holds the lock of a folder until `release` or the end of the process; raises `Failure` when it is taken."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = (folder / "serving.lock").open("a+")
        except OSError as error:
            raise Failure(
                f"cannot use {folder} as data folder: {error.strerror}; choose another with --data-dir"
            ) from None
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read(40).strip() or "another process"
            self._file.close()
            raise Failure(
                f"{folder} is in use by a running driftbell ({holder}); stop it, or choose another --data-dir"
            ) from None
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()}")
        self._file.flush()

    def release(self) -> None:
        """Give the folder free."""
        self._file.close()
