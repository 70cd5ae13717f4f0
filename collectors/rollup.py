"""Calls, judgements and manual tasks -> minute points.

Which measure a point carries, and on which calls it is taken, is decided here and nowhere else.
Measures are conditioned on what would otherwise explain them: latency is taken on successful first attempts,
retrieval and output measures on successful calls, so that an outage moves the error share and little else.
"""

import math
from collections.abc import Iterable

from driftbell.collectors.call import Call, Judgement, ManualTask
from driftbell.collectors.point import Point, PointKey
from driftbell.collectors.pricing import billed_attempts
from driftbell.collectors.rows import Measured

MINUTE = 60
OUTPUT_CLASSES = 24
CACHEABLE_FROM = 1024
"""Input tokens from which the large providers cache a prompt; shorter calls say nothing about the cache."""
CACHED_WEIGHT, OUTPUT_WEIGHT = 0.2, 4.5
"""What a cached and an output token cost beside an input token, roughly, at every large provider (2025-2026): prices
are compared per weighed token, so that a change in the mix of tokens does not look like a change of price."""
FIRST_TOKEN_MS, INPUT_TOKEN_MS, OUTPUT_TOKEN_MS = 300.0, 0.04, 12.0
"""What a call of so many tokens takes, roughly, at a hosted model: slowness is measured against it, so that longer
answers do not look like a slow model. It need not be right, as each class of output lengths has its own reference."""


def expected_ms(call: Call | Measured) -> float:
    """Time that the call's tokens explain, in milliseconds."""
    return FIRST_TOKEN_MS + INPUT_TOKEN_MS * (call.input_tokens or 0) + OUTPUT_TOKEN_MS * (call.output_tokens or 0)


def minute_of(ts: float) -> int:
    """Start of the minute that holds ``ts`` (epoch seconds)."""
    return int(ts // MINUTE) * MINUTE


def output_class(output_tokens: int | None) -> int:
    """Power of two of the output tokens, 0..23; 0 also stands for unknown."""
    if not output_tokens or output_tokens < 1:
        return 0
    return min(int(output_tokens).bit_length(), OUTPUT_CLASSES - 1)


class Rollup:
    """Collects records into points; `points` hands them out in key order."""

    def __init__(self) -> None:
        self._points: dict[PointKey, Point] = {}

    def point(self, key: PointKey) -> Point:
        """The point of a slice and minute."""
        point = self._points.get(key)
        if point is None:
            point = self._points[key] = Point(key)
        return point

    def call(self, call: Call | Measured) -> None:
        """Add one call to the minute in which it ended."""
        key = PointKey(minute_of(call.ts), call.workflow, call.segment, call.risk_tier, call.model, call.prompt_version)
        point = self.point(key)
        point.calls += 1
        if call.user_id is not None:
            point.users[call.user_id] = point.users.get(call.user_id, 0) + 1
        _status(point, call)
        _usage(point, call)
        if call.status == "ok":
            _answer(point, call)
            _measure(point, "retrieval_ms", call.retrieval_ms)
            self.retrieved(point, call)

    @staticmethod
    def retrieved(point: Point, call: Call | Measured) -> None:
        """Add what the retrieval for a call found."""
        if call.sources is None:
            return
        point.rate("no_sources", not call.sources)
        if not call.sources:
            return
        point.quantity("n_sources", len(call.sources))
        scores = [s.score for s in call.sources if s.score is not None and math.isfinite(s.score)]
        if scores:
            point.quantity("top_score", max(scores))
        ages = [s.age_days for s in call.sources if s.age_days is not None and math.isfinite(s.age_days)]
        if ages:
            point.quantity("source_age", sum(ages) / len(ages))
            point.quantity("freshest_age", min(ages))
        if call.citations is not None:
            point.rate("uncited", call.citations == 0)

    def judgement(self, judgement: Judgement) -> None:
        """Add one judgement to the minute in which it was given; one without a call is not counted."""
        if judgement.workflow is None:
            return
        key = PointKey(
            minute_of(judgement.ts),
            judgement.workflow,
            judgement.segment,
            judgement.risk_tier,
            judgement.model,
            judgement.prompt_version,
        )
        point = self.point(key)
        if judgement.override is not None:
            point.rate("override", judgement.override != "accepted")
            point.rate("rejected", judgement.override in ("rejected", "regenerated"))
        _measure(point, "edit_distance", judgement.edit_distance)
        _measure(point, "review_ms", judgement.review_ms)
        if judgement.feedback is not None:
            point.rate("feedback_negative", judgement.feedback < 0)
        if judgement.evaluation is not None:
            _measure(point, f"eval.{judgement.evaluation}", judgement.score)
        if judgement.outcome is not None:
            point.rate("escalated", judgement.outcome == "escalated")
            point.rate(f"outcome.{judgement.outcome}", True)

    def manual_task(self, task: ManualTask) -> None:
        """Add one task that was done without the AI."""
        key = PointKey(minute_of(task.ts), task.workflow, task.segment, task.risk_tier, None, None)
        self.point(key).manual += 1

    def metered(self, point: Point) -> None:
        """Add what metrics told of a minute."""
        self.point(point.key).add(point)

    def points(self) -> list[Point]:
        """The points so far, ordered by key, each with its heaviest users only."""
        ordered = [self._points[key] for key in sorted(self._points, key=_sort_key)]
        for point in ordered:
            point.trim()
        return ordered


def rollup(
    calls: Iterable[Call],
    judgements: Iterable[Judgement] = (),
    manual_tasks: Iterable[ManualTask] = (),
    metered: Iterable[Point] = (),
) -> list[Point]:
    """Minute points of the given records, and of those that metrics told: what the store is checked against."""
    collected = Rollup()
    for call in calls:
        collected.call(call)
    for judgement in judgements:
        collected.judgement(judgement)
    for task in manual_tasks:
        collected.manual_task(task)
    for point in metered:
        collected.metered(point)
    return collected.points()


def _sort_key(key: PointKey) -> tuple[object, ...]:
    return (key.minute, key.workflow, *((value is not None, value or "") for value in key[2:]))


def _measure(point: Point, name: str, value: float | None) -> None:
    if value is not None and math.isfinite(value):
        point.quantity(name, value)


def _status(point: Point, call: Call | Measured) -> None:
    point.rate("error", call.status in ("error", "timeout", "rate_limited"))
    if call.status == "timeout":
        point.rate("timeout", True)
    elif call.status == "rate_limited":
        point.rate("rate_limited", True)
    point.quantity("attempts", call.attempts)
    point.rate("retried", call.attempts > 1)
    if call.fallback is not None:
        point.rate("fallback", call.fallback)


def _usage(point: Point, call: Call | Measured) -> None:
    point.rate("usage_missing", call.usage_source != "provider" and call.status == "ok")
    point.rate("unpriced", call.cost_usd is None and call.status == "ok")
    _measure(point, "cost", call.cost_usd)
    _measure(point, "input_tokens", call.input_tokens)
    if call.cached_tokens is not None and call.input_tokens:
        if call.input_tokens >= CACHEABLE_FROM or call.cached_tokens > 0:
            point.quantity("cached_share", min(call.cached_tokens / call.input_tokens, 1.0))
        point.quantity("cached_tokens", call.cached_tokens)
    if call.cost_usd is not None and call.input_tokens is not None:
        cached = min(call.cached_tokens or 0, call.input_tokens)
        weighed = call.input_tokens - cached + CACHED_WEIGHT * cached + OUTPUT_WEIGHT * (call.output_tokens or 0)
        if weighed > 0:
            _measure(point, "price", 1e6 * call.cost_usd / (billed_attempts(call) * weighed))


def _answer(point: Point, call: Call | Measured) -> None:
    if call.refused is not None:
        point.rate("refused", call.refused)
    if call.format_ok is not None:
        point.rate("format_failed", not call.format_ok)
    if call.finish_reason is not None:
        point.rate("truncated", call.finish_reason == "length")
    if not call.refused:
        _measure(point, "output_tokens", call.output_tokens)
    if call.attempts == 1:
        _measure(point, "ttft_ms", call.ttft_ms)
        _measure(point, "latency_ms", call.latency_ms)
        if call.latency_ms is not None:
            _measure(point, f"slowness|{output_class(call.output_tokens)}", call.latency_ms / expected_ms(call))
