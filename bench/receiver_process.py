"""A receiver as a process of its own, for load and crash measurements: OTLP/HTTP in, points rebuilt beside it.

usage: receiver_process.py DATA_DIR [PORT [KEYS]]; prints the port when it accepts data and stops on SIGTERM.
KEYS is how many new keys are held before they are sorted, to see that happen within seconds.
"""

import asyncio
import gc
import sys
import threading
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from driftbell.collectors import recent
from driftbell.collectors.intake import Intake, Limits
from driftbell.collectors.receiver import Receiver
from driftbell.collectors.store import Store


def refresh(store: Store, stop: threading.Event, every: float) -> None:
    """Rebuild points as the service does."""
    while not stop.wait(every):
        while store.refresh_points():
            pass


async def serve(store: Store, port: int) -> None:
    """Accept data until the process is told to stop."""
    receiver = Receiver(Intake(store, Limits()))
    app = Starlette(routes=receiver.routes())
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", access_log=False)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await running


def main() -> None:
    """Run until SIGTERM."""
    if len(sys.argv) > 3:
        recent.MOVED_AT = int(sys.argv[3])
    gc.set_threshold(50_000, 20, 50)  # as the service does
    store = Store.open(Path(sys.argv[1]))
    stop = threading.Event()
    refreshing = threading.Thread(target=refresh, args=(store, stop, 1.0))
    refreshing.start()
    try:
        asyncio.run(serve(store, int(sys.argv[2]) if len(sys.argv) > 2 else 0))
    finally:
        stop.set()
        refreshing.join()
        store.close()


if __name__ == "__main__":
    main()
