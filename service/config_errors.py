"""What is wrong with a configuration, in words: the line, the path, and the nearest key that exists."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Location = tuple[int | str, ...]


class ConfigError(ValueError):
    """The configuration cannot be used; every line of the message says what to change."""


def complaints(error: ValidationError, model: type[BaseModel], root: yaml.Node | None) -> list[str]:
    """One line per mistake: ``line 3: alerts.chanels: unknown key, did you mean channels?``."""
    schema = model.model_json_schema()
    return [_complaint(mistake, schema, root) for mistake in error.errors(include_url=False)]


def _complaint(mistake: ErrorDetails, schema: Mapping[str, Any], root: yaml.Node | None) -> str:
    location = mistake["loc"]
    line, path = _trace(root, location)
    text = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "extra_forbidden":
        text = _unknown_key(str(location[-1]), _known_keys(schema, location[:-1]))
    where = ".".join(path) or "the file"
    return f"{where}: {text}" if line is None else f"line {line}: {where}: {text}"


def _unknown_key(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if near:
        return f"unknown key, did you mean {near[0]}?"
    return f"unknown key; known here: {', '.join(known)}" if known else "unknown key"


def _trace(root: yaml.Node | None, location: Location) -> tuple[int | None, list[str]]:
    """The line (from 1) nearest to a location, and the location without the tags of unions."""
    node, line, path = root, None, []
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
    here = _alternatives(schema, schema)
    for step in location:
        inside = [below for each in here for below in _below(each, step)]
        if inside:  # a step that is no key is the tag of a union
            here = [option for each in inside for option in _alternatives(each, schema)]
    return sorted({key for each in here for key in each.get("properties", {})})


def _below(schema: Mapping[str, Any], step: int | str) -> Iterator[Mapping[str, Any]]:
    if isinstance(step, int):
        if "items" in schema:
            yield schema["items"]
    elif step in schema.get("properties", {}):
        yield schema["properties"][step]
    elif isinstance(schema.get("additionalProperties"), dict):
        yield schema["additionalProperties"]


def _alternatives(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "$ref" in schema:
        return _alternatives(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    options = [option for word in ("anyOf", "oneOf", "allOf") for option in schema.get(word, ())]
    return [each for option in options for each in _alternatives(option, root)] if options else [schema]
