"""A worker that is killed at any moment loses no message."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench" / "alert_crash.py"


def test_killed_workers_lose_nothing_and_repeat_only_the_same_message() -> None:
    """The short form of ``bench/alert_crash.py``, which kills a thousand."""
    done = subprocess.run(
        [sys.executable, str(BENCH), "--kills", "25", "--seed", "3"], capture_output=True, text=True, timeout=120
    )
    result = json.loads(done.stdout)
    assert result["messages"] == 100
    assert (result["lost"], result["unknown"], result["different_bodies"]) == (0, 0, 0)
    assert result["duplicates"] <= result["kills"]
    assert result["before_last"] > 0, "no kill fell among deliveries"
