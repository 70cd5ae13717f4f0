"""Secrets by reference: the configuration names where a secret is, and it is read at the moment of use.

A reference (``env:NAME`` or ``file:PATH``) is safe to print, store and compare; the secret itself is never kept.
"""

import hashlib
import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

MAX_SECRET_BYTES = 4096


class SecretMissingError(Exception):
    """The place that a reference names holds no secret. The text names the reference, never a value."""


def _check_reference(text: str) -> str:
    kind, _, name = text.partition(":")
    if kind not in {"env", "file"} or not name.strip():
        raise ValueError("a secret is given as env:NAME or file:PATH, never as the value itself")
    return text


SecretRef = Annotated[str, AfterValidator(_check_reference)]
"""A setting that names where a secret is."""


def resolve(reference: str) -> str:
    """The secret behind ``reference``, without surrounding white space.

    Raises SecretMissingError when the variable is unset, the file unreadable, or the value empty.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = os.environ.get(name, "")
    else:
        try:
            with Path(name).open(encoding="utf-8") as file:
                value = file.read(MAX_SECRET_BYTES)
        except (OSError, UnicodeDecodeError) as error:
            raise SecretMissingError(f"cannot read the secret {reference}: {type(error).__name__}") from error
    if not value.strip():
        raise SecretMissingError(f"the secret {reference} is empty or not set")
    return value.strip()


def resolve_url(text: str) -> str:
    """``text`` itself when it is a URL, else the URL behind the reference."""
    return text if text.startswith(("http://", "https://")) else resolve(text)


def fingerprint(secret: str) -> str:
    """A short name of a secret by which it can be recognised but not recovered."""
    return hashlib.sha256(b"driftbell:" + secret.encode()).hexdigest()[:12]
