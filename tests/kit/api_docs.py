"""docs/api.md, made from the OpenAPI description: `python tests/kit/api_docs.py` writes it anew."""

from pathlib import Path
from textwrap import fill

from driftbell.service.api import Api
from driftbell.service.openapi import describe

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
INTRODUCTION = """# API

On the port of OTLP/HTTP. The same as OpenAPI 3.1, with every field of every answer, is at `/api/v1/openapi.json` of a
running service. `make docs` writes this page from it.

{description}

```sh
curl --json '{{"kind": "prompt", "value": "v14", "workflow": "triage"}}' localhost:4318/api/v1/markers
curl --json '{{"for": "4h", "workflow": "triage", "by": "ana"}}' localhost:4318/api/v1/silences
curl 'localhost:4318/api/v1/usage?group_by=workflow,model&since=2026-11-01T00:00:00Z'
curl 'localhost:4318/api/v1/points?workflow=triage&resolution=hour'
```

An answer of `/usage` or `/points` that took much work may be given again for some seconds, 15 at most, so that many
readers of one dashboard take nothing from the receiver.

Send a marker with every deployment, prompt, model, price or index change: an alarm then names the change that came just
before it.
"""


def page() -> str:
    """The whole page."""
    description = describe(Api(None, None, None).operations())  # type: ignore[arg-type]
    parts = [INTRODUCTION.format(description=fill(description["info"]["description"], 120))]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            parts.append(_section(path, method.upper(), operation, description["components"]["schemas"]))
    return "".join(parts)


def _section(path: str, method: str, operation: dict, schemas: dict) -> str:
    good = next(code for code in operation["responses"] if code.startswith("2"))
    lines = [f"\n## {method} {path}\n", f"{operation['summary']}.\n"]
    lines += _table(
        "parameter", [(p["name"], p["required"], p["schema"], p.get("description", "")) for p in _asked(operation)]
    )
    if "requestBody" in operation:
        body = _schema(operation["requestBody"]["content"], schemas)
        needed = body.get("required", ())
        fields = [(name, name in needed, s, s.get("description", "")) for name, s in body["properties"].items()]
        lines += _table("field of the body", fields)
    answer = _schema(operation["responses"][good]["content"], schemas)
    lines.append(f"Answers {good}: `{'`, `'.join(answer['properties'])}`. {_one_line(answer.get('description', ''))}\n")
    others = sorted(set(operation["responses"]) - {good, "401", "405", "503"})
    lines.append(f"Or {', '.join(others)}; as every path 401, 405 and 503.\n")
    return "\n".join(lines)


def _asked(operation: dict) -> list[dict]:
    return [each for each in operation["parameters"] if each["in"] == "query"]


def _schema(content: dict, schemas: dict) -> dict:
    return schemas[content["application/json"]["schema"]["$ref"].rpartition("/")[2]]


def _table(title: str, rows: list[tuple[str, bool, dict, str]]) -> list[str]:
    if not rows:
        return []
    lines = [f"| {title} | what |", "|---|---|"]
    for name, needed, schema, text in rows:
        default = schema.get("default")
        more = [
            "needed" if needed else "",
            _kind(schema),
            f"default `{default}`" if default not in (None, "", False) else "",
        ]
        said = [_one_line("; ".join(filter(None, more))), _one_line(text)]
        lines.append(f"| `{name}` | {'. '.join(filter(None, said))} |")
    return [*lines, ""]


def _kind(schema: dict) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "oneOf" in schema or "pattern" in schema:
        return ""
    options = [_kind(each) for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if options:
        return options[0]
    kind = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}[
        schema["type"]
    ]
    if "maximum" in schema and schema["type"] == "integer":
        return f"{kind} from {schema['minimum']} to {schema['maximum']}"
    return f"{kind} of at most {schema['maxLength']} characters" if "maxLength" in schema else kind


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
