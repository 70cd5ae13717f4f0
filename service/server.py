"""The HTTP server: uvicorn on a socket that is already bound, stopped by a call instead of by a signal."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp


class HttpServer(uvicorn.Server):
    """Serves ``app``; ``ready`` is called once requests are accepted. `stop` may be called from anywhere."""

    def __init__(self, app: ASGIApp, bound: socket.socket, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=2,
            )
        )
        self._bound = bound
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests, and say so."""
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process that this server is part of."""
        yield

    def serve_until_stopped(self) -> None:
        """Block until `stop`."""
        self.run(sockets=[self._bound])

    def stop(self) -> None:
        """Finish the requests that are being answered (at most 2 s), then return from `serve_until_stopped`."""
        self.should_exit = True
