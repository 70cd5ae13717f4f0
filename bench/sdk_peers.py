"""Other instrumentations in virtual environments of their own, so that none of their packages enters ours.

An environment is made once, below ``.cache/peers``, and made anew when the pinned versions here change. What cannot be
installed or does not run is told in the table.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / ".cache" / "peers"
PACKAGES: Final = {
    "openlit": ["openlit==1.45.0"],
    "traceloop": ["traceloop-sdk==0.62.4", "httpx"],
    "openinference": ["openinference-instrumentation==0.1.72", "openinference-semantic-conventions"],
    "logfire": ["logfire==5.2.0"],
    "langfuse": ["langfuse==5.0.4"],
    "mlflow": ["mlflow-tracing==3.17.2"],
    "opik": ["opik==2.2.122"],
}
"""Package versions of each peer; the floor is installed beside it, in whatever version the peer asks for."""
_FLOOR: Final = ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"]
_INSTALL_SECONDS: Final = 600


class NotInstalledError(Exception):
    """A peer that cannot be had; the message is the installer's last line."""


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, which is made when it is not there. Raises `NotInstalledError`."""
    folder = FOLDER / peer
    wanted = "\n".join([*PACKAGES[peer], *_FLOOR])
    made, python = folder / "installed", folder / "bin" / "python"
    if made.exists() and made.read_text() == wanted:
        return python
    print(f"  installing {peer} into {folder}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    _run([sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *PACKAGES[peer], *_FLOOR])
    made.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalledError(f"not done in {_INSTALL_SECONDS} s") from None
    if done.returncode:
        raise NotInstalledError((done.stderr.strip().splitlines() or ["no reason given"])[-1][:120])
