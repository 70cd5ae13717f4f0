"""Who may see and who may act: a signed cookie after signing in with a token, and a token in every form.

The token of the service gives the right to act, a second one (``view_token``) to look. Cookies and forms are signed
with these by HMAC, so nothing is stored and a new token ends every session. Without a token of the service (it then
listens on loopback only) there is no signing in and everybody may act; forms are bound to this process.
"""

import hmac
import secrets
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Literal

Right = Literal["act", "look"]
COOKIE = "driftbell_session"
LASTS = 7 * 86_400.0
"""Seconds after which one signs in again."""
FORM_LASTS = 24 * 3600.0
TRIES, TRIES_WITHIN = 10, 60.0
"""Wrong tokens that are taken within so many seconds; then signing in pauses for everyone."""


class Sessions:
    """Makes and checks cookies and form tokens. ``token`` is the service's, ``view`` that of who may look."""

    def __init__(self, token: str | None, view: str | None, clock: Callable[[], float]) -> None:
        self._tokens: dict[Right, str | None] = {"act": token, "look": view}
        known = secrets.token_bytes(32) if token is None else f"{token}\0{view or ''}".encode()
        self._key = sha256(b"driftbell page\0" + known).digest()
        self._clock = clock
        self._wrong: deque[float] = deque(maxlen=TRIES)

    @property
    def needed(self) -> bool:
        """Whether one must sign in at all."""
        return self._tokens["act"] is not None

    def paused(self) -> bool:
        """Whether too many wrong tokens were given lately."""
        return len(self._wrong) == TRIES and self._clock() - self._wrong[0] < TRIES_WITHIN

    def sign_in(self, given: str) -> str | None:
        """The cookie for who gives a right token, else None."""
        for right, token in self._tokens.items():
            if token is not None and hmac.compare_digest(given.strip().encode(errors="replace"), token.encode()):
                return self._signed(right, int(self._clock() + LASTS))
        self._wrong.append(self._clock())
        return None

    def right(self, cookie: str | None) -> Right | None:
        """What a cookie of ours allows; None when it is none, or over."""
        for right in self._tokens:
            if cookie is not None and self._is_signed(right, cookie):
                return right
        return None

    def form_token(self, cookie: str | None) -> str:
        """A token for a form that is shown in this session; each is another, so that nothing of it can be guessed."""
        return self._signed(f"form {cookie or ''}", int(self._clock() + FORM_LASTS))

    def allows(self, form_token: str, cookie: str | None) -> bool:
        """Whether a form was shown in this session, lately."""
        return self._is_signed(f"form {cookie or ''}", form_token)

    def _signed(self, purpose: str, until: int) -> str:
        nonce = secrets.token_hex(8)
        return f"{until}.{nonce}.{self._mac(purpose, str(until), nonce)}"

    def _is_signed(self, purpose: str, given: str) -> bool:
        until, _, rest = given.partition(".")
        nonce, _, mac = rest.partition(".")
        if not (until.isascii() and until.isdigit() and len(until) < 12 and mac.isascii()):
            return False
        return hmac.compare_digest(mac, self._mac(purpose, until, nonce)) and self._clock() < int(until)

    def _mac(self, purpose: str, until: str, nonce: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{until}\0{nonce}".encode(errors="replace"), sha256).hexdigest()
