"""Token counts: from usage objects of any make, and repaired where an emitter leaves cached tokens out."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from driftbell.collectors.dialects import values
from driftbell.collectors.dialects.aliases import USAGE_MEMBERS, Fact
from driftbell.collectors.dialects.emitters import Emitter
from driftbell.collectors.span import AttributeValue

_HOLDER = re.compile(r"usage|token", re.IGNORECASE)
_OUTPUT = re.compile(r"output|response|completion|result|generation", re.IGNORECASE)
_INSIDE = (
    "usage",
    "usage_metadata",
    "usageMetadata",
    "token_usage",
    "tokenUsage",
    "llm_output.token_usage",
    "usage_details",
    "meta.usage",
    "replies.meta.usage",
    "replies._meta.usage",
    "response_metadata.token_usage",
    "message.usage_metadata",
)
_ALL = frozenset({"cached_tokens", "output_tokens", "reasoning_tokens"})
_BOTH = ("input_tokens", "output_tokens")
_APART = ("candidates_token_count", "candidatesTokenCount")
"""Members of Gemini's usage that leave thoughts out, whether there is a total or not."""
AGGREGATE = re.compile(r"aggregat|total_usage|cumulative|\.metrics$", re.IGNORECASE)
"""Names of totals over several calls."""


def complete_usage(facts: dict[str, Fact], attributes: Mapping[str, AttributeValue]) -> None:
    """Fill token counts that no plain attribute gave from objects: first those called usage, then the output's own.

    An object that disagrees with what is known already speaks of something else.
    """
    for usage in usage_objects(attributes):
        if facts.keys() >= _ALL:
            return
        _fill(facts, usage)


def stated_usage(facts: dict[str, Fact], attributes: Mapping[str, AttributeValue]) -> None:
    """`complete_usage` from objects that are called usage."""
    for usage in _stated(attributes):
        _fill(facts, usage)


def usage_objects(attributes: Mapping[str, AttributeValue]) -> Iterator[dict[str, object]]:
    """The objects in attributes that may hold token counts."""
    yield from _stated(attributes)
    for name, value in attributes.items():
        if isinstance(value, (str, dict)) and is_output(name) and _may_hold(value):
            found = values.structure(value)
            for inside in _INSIDE if found else ():
                usage = values.path(found, inside)
                if isinstance(usage, dict):
                    yield usage


def _stated(attributes: Mapping[str, AttributeValue]) -> Iterator[dict[str, object]]:
    for name, value in attributes.items():
        if isinstance(value, (str, dict)) and _is_usage(name):
            found = values.structure(value)
            if isinstance(found, dict):
                yield _usage_object(found)


@lru_cache(maxsize=4096)
def _is_usage(name: str) -> bool:
    return _HOLDER.search(name) is not None and AGGREGATE.search(name) is None


@lru_cache(maxsize=4096)
def is_output(name: str) -> bool:
    """Whether an attribute of this name may hold what came back."""
    return _OUTPUT.search(name) is not None


def _may_hold(value: str | dict[str, AttributeValue]) -> bool:
    """Whether it is worth reading: every place for usage is called so, or after tokens."""
    return not isinstance(value, str) or "sage" in value or "oken" in value


def repair_output(facts: dict[str, Fact]) -> None:
    """Make ``output_tokens`` include thoughts, where these are told beside them or the stated total says so."""
    thoughts = facts.pop("thought_tokens", None)
    output, reasoning = _int(facts, "output_tokens"), _int(facts, "reasoning_tokens")
    if isinstance(thoughts, int) and not reasoning:
        facts["reasoning_tokens"] = thoughts
        facts["output_tokens"] = output + thoughts
    elif reasoning and output and facts.get("total_tokens") == _int(facts, "input_tokens") + output + reasoning:
        facts["output_tokens"] = output + reasoning


def repair_cache(facts: dict[str, Fact], emitter: Emitter) -> None:
    """Make ``input_tokens`` include cached tokens.

    They are left out if the emitter is known for it, if there are more cached tokens than input tokens, or if the
    stated total only adds up with them.
    """
    tokens = facts.get("input_tokens")
    cached = _int(facts, "cached_tokens") + _int(facts, "cache_write_tokens")
    if not isinstance(tokens, int) or not cached:
        return
    known = facts.get("provider") in emitter.excludes_cache
    adds_up = facts.get("total_tokens") == tokens + cached + _int(facts, "output_tokens")
    if known or cached > tokens or adds_up:
        facts["input_tokens"] = tokens + cached


def _usage_object(found: dict[str, object]) -> dict[str, object]:
    for inside in _INSIDE:
        usage = values.path(found, inside)
        if isinstance(usage, dict):
            return usage
    return found


def _fill(facts: dict[str, Fact], usage: dict[str, object]) -> None:
    """Take from a usage object what is not known yet."""
    said: dict[str, int] = {}
    for field, members in USAGE_MEMBERS.items():
        for member in members:
            count = values.count(values.path(usage, member))
            if count is not None:
                said[field] = count
                break
    told = dict(said)
    disjoint = "input_tokens" in usage and "cache_read_input_tokens" in usage
    if disjoint and "input_tokens" in said and "total_tokens" not in said:
        # the shape of Anthropic's own API, where the three kinds of input tokens are disjoint
        said["input_tokens"] += said.get("cached_tokens", 0) + said.get("cache_write_tokens", 0)
    if any(member in usage for member in _APART) and "output_tokens" not in facts:
        said["output_tokens"] = said.get("output_tokens", 0) + said.get("reasoning_tokens", 0)
    known = {field: facts[field] for field in _BOTH if field in facts and field in said}
    if any(count not in (told[field], said[field]) for field, count in known.items()):
        return
    for field, count in said.items():
        facts.setdefault(field, count)


def _int(facts: Mapping[str, Fact], name: str) -> int:
    found = facts.get(name)
    return found if isinstance(found, int) else 0
