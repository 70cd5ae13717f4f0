"""What each error of a handler is answered with: a status code and one sentence in JSON."""

import logging
import math
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from driftbell.collectors.batch import StoreUnavailableError
from driftbell.collectors.query import BadQueryError
from driftbell.service import oncall
from driftbell.service.api_input import BadRequestError

log = logging.getLogger("driftbell.service")


def bad_request(_request: Request, error: Exception) -> JSONResponse:
    """The caller's mistake, told in one sentence."""
    status = 404 if isinstance(error, oncall.NotFoundError) else 400
    if isinstance(error, BadRequestError):
        status = error.status
    elif isinstance(error, oncall.RefusedError):
        status = 409
    return JSONResponse({"error": str(error)}, status_code=status)


def unavailable(_request: Request, error: Exception) -> JSONResponse:
    """The store cannot be written or read at the moment."""
    after = error.retry_after if isinstance(error, StoreUnavailableError) else 5.0
    return JSONResponse({"error": str(error)}, status_code=503, headers={"Retry-After": str(math.ceil(after))})


def http_error(_request: Request, error: Exception) -> JSONResponse:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    said = HTTPStatus(error.status_code).phrase.lower() if error.status_code == 405 else error.detail
    allowed = (error.headers or {}).get("Allow")
    text = f"{said}; use {allowed}" if allowed else said
    return JSONResponse({"error": text}, status_code=error.status_code, headers=error.headers)


def unforeseen(request: Request, error: Exception) -> JSONResponse:
    """A defect of ours: told in the log, not to the caller."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": "internal error; the log of the service says more"}, status_code=500)


ERRORS = {
    BadRequestError: bad_request,
    BadQueryError: bad_request,
    oncall.NotFoundError: bad_request,
    oncall.RefusedError: bad_request,
    StoreUnavailableError: unavailable,
    HTTPException: http_error,
    Exception: unforeseen,
}
