"""What is wrong with a configuration, in words: the line, the path, and the nearest key that exists."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from driftbell.service.failure import Failure

Location = tuple[int | str, ...]


class ConfigError(Failure, ValueError):
    """The configuration cannot be used; every line of the message says what to change."""


def complaints(error: ValidationError, model: type[BaseModel], root: yaml.Node | None) -> list[str]:
    """One line per mistake: ``line 3: alerts.chanels: unknown key, did you mean channels?``."""
    schema = model.model_json_schema()
    found = [_complaint(mistake, schema, root) for mistake in error.errors(include_url=False)]
    return [text for _, text in sorted(found)]


def _complaint(mistake: ErrorDetails, schema: Mapping[str, Any], root: yaml.Node | None) -> tuple[int, str]:
    location = mistake["loc"]
    line, path = _trace(root, location)
    text = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "missing":
        text = "is missing"
    elif mistake["type"] == "extra_forbidden":
        text = _unknown_key(str(location[-1]), _known_keys(schema, location[:-1]))
    elif mistake["type"] in {"model_type", "model_attributes_type", "dict_type"}:
        text = "must hold keys and values; leave it out where there are none"
    elif mistake["type"] == "union_tag_invalid":
        text = f"there is no kind {mistake['ctx']['tag']!r}; there are {mistake['ctx']['expected_tags']}"
    if not path:
        return (0, text)
    where = ".".join(path)
    return (0, f"{where}: {text}") if line is None else (line, f"line {line}: {where}: {text}")


def _unknown_key(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if near:
        return f"unknown key, did you mean {near[0]}?"
    return f"unknown key; known here: {', '.join(known)}" if known else "unknown key"


def _trace(root: yaml.Node | None, location: Location) -> tuple[int | None, list[str]]:
    """The line (from 1) nearest to a location, and the location without the tags of unions."""
    if root is None:
        return None, [str(step) for step in location]
    node: yaml.Node | None = root
    line: int | None = None
    path: list[str] = []
    for step in location:
        found = next(((key, value) for name, key, value in _children(node) if name == step), None)
        if found is None:
            continue
        key, node = found
        line = key.start_mark.line + 1
        path.append(str(step))
    missing = location[-1:] if location and (not path or path[-1] != str(location[-1])) else ()
    return line, path + [str(step) for step in missing]


def _children(node: yaml.Node | None) -> Iterator[tuple[int | str, yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key.value, key, value
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield index, value, value


def _known_keys(schema: Mapping[str, Any], location: Location) -> list[str]:
    """The keys that the models at a location have."""
    here = [schema]
    for step in location:
        tagged = [each["discriminator"]["mapping"][step] for each in here if step in _tags(each)]
        inside = [below for each in here for option in _alternatives(each, schema) for below in _below(option, step)]
        here = [{"$ref": tagged[0]}] if tagged else inside or here
    return sorted(
        {key for each in here for option in _alternatives(each, schema) for key in option.get("properties", {})}
    )


def _tags(schema: Mapping[str, Any]) -> Mapping[int | str, str]:
    """The names by which a location chooses between the members of a union."""
    tags: Mapping[int | str, str] = schema.get("discriminator", {}).get("mapping", {})
    return tags


def _below(schema: Mapping[str, Any], step: int | str) -> Iterator[Mapping[str, Any]]:
    if isinstance(step, int):
        if "items" in schema:
            yield schema["items"]
    elif step in schema.get("properties", {}):
        yield schema["properties"][step]
    else:  # a table whose keys are the user's own
        yield from schema.get("patternProperties", {}).values()
        if isinstance(schema.get("additionalProperties"), dict):
            yield schema["additionalProperties"]


def _alternatives(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "$ref" in schema:
        return _alternatives(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    options = [option for word in ("anyOf", "oneOf", "allOf") for option in schema.get(word, ())]
    return [each for option in options for each in _alternatives(option, root)] if options else [schema]
