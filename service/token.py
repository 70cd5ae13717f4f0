"""The bearer token: with one configured, everything but `/healthz` asks for it."""

import hmac

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN_PATHS = frozenset({"/healthz"})


def allowed(authorization: str | None, token: str) -> bool:
    """Whether an ``Authorization`` header holds the token; the comparison takes the same time for every wrong one."""
    scheme, _, given = (authorization or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


class BearerToken:
    """ASGI middleware that answers 401 to a request without the token.

    What lies at ``open_paths``, or below ``open_below``, checks the right to it by itself or needs none.
    """

    def __init__(
        self, app: ASGIApp, token: str, open_paths: frozenset[str] = OPEN_PATHS, open_below: str | None = None
    ) -> None:
        self._app = app
        self._token = token
        self._open = open_paths
        self._below = open_below

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it before its body is read."""
        if scope["type"] != "http" or self._is_open(scope["path"]) or self._authorized(scope):
            await self._app(scope, receive, send)
            return
        refusal = JSONResponse(
            {"error": "send the header 'Authorization: Bearer TOKEN' with the token of this service"},
            status_code=401,
            headers={"WWW-Authenticate": "Bearer", "Connection": "close"},
        )
        await refusal(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return path in self._open or (self._below is not None and path.startswith(self._below))

    def _authorized(self, scope: Scope) -> bool:
        header = next((value for name, value in scope["headers"] if name == b"authorization"), None)
        return allowed(None if header is None else header.decode("latin-1"), self._token)
