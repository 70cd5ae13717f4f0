"""How the values of an hour or a day lay, in a column of its own: who adds up months of sums reads no histograms."""

from typing import Any

import orjson

from driftbell.collectors.sums import SPREADS


def apart(body: str) -> tuple[str, str]:
    """What `driftbell.collectors.point.Point.encode` wrote, without most histograms, and these."""
    read = orjson.loads(body)
    quantities = read.get("q", {})
    spread = {name: cells[2:] for name, cells in quantities.items() if name not in SPREADS}
    for name in spread:
        del quantities[name][2:]
    return orjson.dumps(read).decode(), orjson.dumps(spread).decode()


def joined(body: str, spread: str) -> Any:
    """The inverse of `apart`, as it is read from JSON; all is in ``body`` where ``spread`` is empty."""
    read = orjson.loads(body)
    if spread:
        quantities = read.get("q", {})
        for name, cells in orjson.loads(spread).items():
            quantities[name] += cells
    return read
