"""Call records as JSON Lines (optionally gzip): history from elsewhere, read into calls and judgements."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from driftbell.collectors.call import Call, Judgement, ManualTask, Source

_STATUSES = {"ok", "error", "timeout", "rate_limited", "cancelled"}
_LATEST: Final = 1 << 33
"""Epoch seconds in the year 2242. A call after it would let the workflow's real ones look like old history."""


class BadRecordError(ValueError):
    """A line that cannot be read; the message says which and why."""


class Record(NamedTuple):
    """What one line holds: a call with the judgements given with it, or a manual task."""

    ts: float
    call: Call | None
    judgements: tuple[Judgement, ...]
    manual_task: ManualTask | None


class Line(NamedTuple):
    """A record, the number of its line, and the bytes that were read so far of the file as it is on disk."""

    record: Record
    number: int
    read: int


def read_records(
    path: Path, on_bad: Callable[[int, str], None], wanted: Callable[[str], bool] | None = None
) -> Iterator[Line]:
    """Yield every good line; report each bad one as ``on_bad(number, reason)``.

    ``wanted`` is asked about the workflow of each line, "" where there is none, and may leave the line to somebody
    else. A truncated gzip file is reported like a bad line and ends the reading.
    """
    with path.open("rb") as raw:
        gzipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        lines = gzip.GzipFile(fileobj=raw) if gzipped else raw
        number, workflow = 0, ""
        try:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                workflow = ""
                try:
                    fields = _fields(line)
                    workflow = str(fields.get("workflow") or "")
                    if wanted is None or wanted(workflow):
                        yield Line(_record(fields), number, raw.tell())
                except BadRecordError as bad:
                    if wanted is None or wanted(workflow):
                        on_bad(number, str(bad))
        except (EOFError, gzip.BadGzipFile) as broken:
            if wanted is None or wanted(""):
                on_bad(number + 1, f"the gzip file is damaged here: {broken}")


def parse_record(line: bytes | str) -> Record:
    """One JSON line as a `Record`; raises `BadRecordError`."""
    return _record(_fields(line))


def _fields(line: bytes | str) -> dict[str, object]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRecordError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadRecordError("not a JSON object")
    return fields


def _record(fields: dict[str, object]) -> Record:
    ts = _number(fields, "ts")
    if ts is None:
        raise BadRecordError("ts is missing")
    if not 0 <= ts < _LATEST:
        raise BadRecordError("ts must be epoch seconds; this is no time of this era, perhaps milliseconds")
    workflow = _text(fields, "workflow")
    if not workflow:
        raise BadRecordError("workflow is missing")
    kind = fields.get("kind", "llm_call")
    if kind == "manual_task":
        segment, tier, user = (_text(fields, name) for name in ("segment", "risk_tier", "user_id"))
        return Record(ts, None, (), ManualTask(ts, workflow, segment, tier, user))
    if kind != "llm_call":
        raise BadRecordError(f"kind must be llm_call or manual_task, not {kind!r}")
    call = _call(fields, ts, workflow)
    return Record(ts, call, tuple(_judgements(fields, call)), None)


def _call(fields: dict[str, object], ts: float, workflow: str) -> Call:
    status = fields.get("status", "ok")
    if status not in _STATUSES:
        raise BadRecordError(f"status must be one of {', '.join(sorted(_STATUSES))}, not {status!r}")
    tokens = {name: _count(fields, name) for name in ("input_tokens", "output_tokens", "cached_tokens")}
    return Call(
        ts=ts,
        workflow=workflow,
        segment=_text(fields, "segment"),
        risk_tier=_text(fields, "risk_tier"),
        owner=_text(fields, "owner"),
        provider=_text(fields, "provider"),
        model=_text(fields, "model"),
        prompt_version=_text(fields, "prompt_version"),
        input_tokens=tokens["input_tokens"],
        cached_tokens=tokens["cached_tokens"],
        output_tokens=tokens["output_tokens"],
        usage_source="provider" if tokens["input_tokens"] is not None else "missing",
        latency_ms=_number(fields, "latency_ms"),
        ttft_ms=_number(fields, "ttft_ms"),
        status=status,  # type: ignore[arg-type]  # checked against the same names above
        attempts=1 + (_count(fields, "retries") or 0),
        refused=_flag(fields, "refused"),
        format_ok=_flag(fields, "format_ok"),
        fallback=_flag(fields, "fallback"),
        sources=_sources(fields),
        citations=_count(fields, "citations"),
        retrieval_ms=_number(fields, "retrieval_ms"),
        user_id=_text(fields, "user_id"),
        dialect="record",
    )


def _judgements(fields: dict[str, object], call: Call) -> Iterator[Judgement]:
    def judged(**what: object) -> Judgement:
        dimensions = (call.ts, call.workflow, call.segment, call.risk_tier, call.model, call.prompt_version)
        return Judgement(*dimensions, **what)  # type: ignore[arg-type]

    override = _flag(fields, "override")
    outcome = _text(fields, "outcome")
    distance, review = _number(fields, "edit_distance"), _number(fields, "review_ms")
    if not (override is None and distance is None and review is None):
        kind = None if override is None else _override_kind(override, outcome)
        yield judged(override=kind, edit_distance=distance, review_ms=review)
    feedback = _number(fields, "feedback")
    if feedback is not None and feedback != 0:
        yield judged(feedback=1 if feedback > 0 else -1)
    scores = fields.get("eval_scores")
    if isinstance(scores, dict):
        for name in scores:
            score = _number(scores, name)
            if score is not None:
                yield judged(evaluation=str(name), score=score)
    if outcome:
        yield judged(outcome=outcome)


def _override_kind(override: bool, outcome: str | None) -> str:
    if not override:
        return "accepted"
    return outcome if outcome in ("rejected", "regenerated") else "edited"


def _sources(fields: dict[str, object]) -> tuple[Source, ...] | None:
    given = fields.get("sources")
    if given is None:
        return None
    if not isinstance(given, list):
        raise BadRecordError("sources must be a list")
    found = [s for s in given if isinstance(s, dict)]
    return tuple(Source(_text(s, "id"), _number(s, "score"), _number(s, "age_days")) for s in found)


def _number(fields: dict[str, object], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is int and -(2**53) < value < 2**53:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadRecordError(f"{name} must be a number, not {value!r:.40}")
    try:
        number = float(value)
    except OverflowError:
        raise BadRecordError(f"{name} is out of range") from None
    return number if -(2.0**64) < number < 2.0**64 else None


def _count(fields: dict[str, object], name: str) -> int | None:
    value = _number(fields, name)
    if value is None:
        return None
    if value < 0:
        raise BadRecordError(f"{name} must not be negative")
    return int(value)


def _text(fields: dict[str, object], name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, (dict, list)):
        return None
    return value if type(value) is str and len(value) <= 200 else str(value)[:200]


def _flag(fields: dict[str, object], name: str) -> bool | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, bool):
        raise BadRecordError(f"{name} must be true or false, not {value!r:.40}")
    return value
