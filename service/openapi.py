"""The OpenAPI 3.1 description of the API, made from its table: what is checked and what is described are the same."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from driftbell.service.api_answers import Error, Group
from driftbell.service.api_table import Operation

TITLE = "driftbell"
INTRODUCTION = """Times are epoch seconds; in a query ISO 8601 with a zone will do as well. Null is "not known", never \
zero. Every failure is `{"error": …}` with one sentence that says what to do. With a token configured, everything but \
`/healthz` needs it."""
REASONS = {
    400: "The question or the body cannot be used as it is.",
    401: "The token is missing or wrong.",
    403: "A page of another origin may not do this.",
    404: "There is no such thing.",
    405: "Not with this method; `Allow` names the right ones.",
    409: "It cannot be done to what is there as it is.",
    413: "The body is larger than 64 KiB.",
    415: "The body is not JSON.",
    503: "The store cannot be read or written at the moment; `Retry-After` says when to try again.",
}
JsonSchema = dict[str, Any]
_REF = "#/components/schemas/{model}"


def describe(operations: Iterable[Operation[Any, Any]]) -> JsonSchema:
    """The whole description as JSON values."""
    table = list(operations)
    schemas: JsonSchema = {}
    paths: JsonSchema = {}
    for operation in table:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    _note(schemas, Error, "serialization")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": version("driftbell"),
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation[Any, Any], schemas: JsonSchema) -> JsonSchema:
    name = operation.run.__name__
    told: JsonSchema = {
        "operationId": name,
        "summary": operation.summary,
        "parameters": [*_in_path(operation), *_in_query(operation)],
        "responses": _responses(operation, schemas),
    }
    if operation.posts:
        schema = _note(schemas, operation.body, "validation")
        needed = any(field.is_required() for field in operation.body.model_fields.values())
        told["requestBody"] = {"content": {"application/json": {"schema": schema}}, "required": needed}
    return told


def _in_path(operation: Operation[Any, Any]) -> list[JsonSchema]:
    if "{id}" not in operation.path:
        return []
    return [{"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}]


def _in_query(operation: Operation[Any, Any]) -> list[JsonSchema]:
    schema = operation.query.model_json_schema(mode="validation")
    needed = schema.get("required", ())
    found = []
    for name, of_it in schema.get("properties", {}).items():
        plain = _present(of_it)
        text = plain.pop("description", None)
        said = {"description": text} if text else {}
        found.append({"name": name, "in": "query", "required": name in needed, **said, "schema": plain})
    return found


def _present(schema: JsonSchema) -> JsonSchema:
    """The schema of a parameter that is there: an absent one is told by ``required``, not by null."""
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "title")}
    options = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if rest.get("default", "") is None:
        del rest["default"]
    return {**options[0], **rest} if len(options) == 1 else ({**rest, "anyOf": options} if options else rest)


def _responses(operation: Operation[Any, Any], schemas: JsonSchema) -> JsonSchema:
    good = _note(schemas, operation.answer, "serialization")
    found = {str(operation.status): {"description": "As asked.", "content": {"application/json": {"schema": good}}}}
    failure = {"application/json": {"schema": {"$ref": _REF.format(model=Error.__name__)}}}
    common = {400, 401, 405, 503, *operation.fails}
    common |= {403} if operation.method != "GET" else set()
    common |= {413, 415} if operation.posts else set()
    for code in sorted(common):
        found[str(code)] = {"description": REASONS[code], "content": failure}
    return found


def _note(schemas: JsonSchema, of: Any, mode: Any) -> JsonSchema:
    """Put the schema of a type among ``schemas`` with all it refers to; the reference to it."""
    _, found = models_json_schema([(of, mode)], ref_template=_REF)
    for name, schema in found["$defs"].items():
        schemas[name] = _whole(schema) if mode == "serialization" and name != Group.__name__ else _untitled(schema)
    return {"$ref": _REF.format(model=of.__name__)}


def _whole(schema: JsonSchema) -> JsonSchema:
    """What is answered has every field, known or null, and no other."""
    plain = _untitled(schema)
    if "properties" in plain:
        for of_it in plain["properties"].values():
            of_it.pop("default", None)
        plain |= {"required": list(plain["properties"]), "additionalProperties": False}
    return plain


def _untitled(schema: JsonSchema) -> JsonSchema:
    """Without the titles that repeat the names."""
    properties = schema.get("properties")
    plain = {key: value for key, value in schema.items() if key != "title"}
    if properties is not None:
        plain["properties"] = {
            name: {key: value for key, value in of_it.items() if key != "title"} for name, of_it in properties.items()
        }
    return plain
