"""Forms: their fields, and whether they were sent by a page of ours in the same session."""

from urllib.parse import parse_qs

from starlette.requests import Request

from driftbell.service.api_input import BadRequestError
from driftbell.service.page.guard import from_here
from driftbell.service.page.session import COOKIE, Sessions

MAX_FORM_BYTES = 8192
TOKEN = "form_token"


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, each once; raises `BadRequestError` for anything else."""
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_FORM_BYTES:
            raise BadRequestError(f"the form is larger than {MAX_FORM_BYTES} bytes", 413)
    try:
        given = parse_qs(raw.decode("ascii"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise BadRequestError("this is no form of this page") from None
    return {name: values[0] for name, values in given.items()}


async def checked_form(request: Request, sessions: Sessions) -> dict[str, str]:
    """The fields of a form of ours; raises `BadRequestError` for one that came from elsewhere or is too old."""
    form = await form_of(request)
    if not from_here(request):
        raise BadRequestError("a page of another origin may not do this", 403)
    if not sessions.allows(form.pop(TOKEN, ""), request.cookies.get(COOKIE)):
        raise BadRequestError("this form is too old; go back, reload the page and try again", 403)
    return form
