"""Attributes that no dialect gives a meaning to: kept if they are numbers, flags or identifiers, never text."""

import re
from collections.abc import Mapping
from functools import lru_cache

from driftbell.collectors.dialects import values
from driftbell.collectors.dialects.aliases import BY_ATTRIBUTE
from driftbell.collectors.span import AttributeValue

MAX_EXTRA = 24
_MAX_NAME = 100
_MAX_VALUE = 80
_PRIVATE = re.compile(
    r"prompt|message|content|input|output|text|completion|query|document|body|arg|result|template|instruction|"
    r"response\.(?!.*(tier|fingerprint))|description|stack|header|user|email|mail|phone|token$|api.?key|secret|passw|"
    r"authorization|cookie|vector|embedding\.|schema|url|path|address|\.ip|metadata\.user_api",
    re.IGNORECASE,
)
"""Names that may hold what people wrote, who they are, or what opens doors."""
_OURS = "driftbell."
_IDENTIFIER = re.compile(r"^[\w.:@/+-]{1,80}$")


def kept(attributes: Mapping[str, AttributeValue]) -> dict[str, object]:
    """At most `MAX_EXTRA` attributes, in order of name; a string only if it can be an identifier."""
    found: dict[str, object] = {}
    for name in sorted(attributes):
        if len(found) >= MAX_EXTRA:
            break
        if not may_be_kept(name):
            continue
        value = attributes[name]
        if (
            isinstance(value, bool)
            or values.number(value) is not None
            or (isinstance(value, str) and len(value) <= _MAX_VALUE and _IDENTIFIER.match(value))
        ):
            found[name] = value
    return found


@lru_cache(maxsize=4096)
def may_be_kept(name: str) -> bool:
    """Whether an attribute of this name is kept, if its value can be."""
    if name in BY_ATTRIBUTE or len(name) > _MAX_NAME:
        return False
    return name.startswith(_OURS) or _PRIVATE.search(name) is None
