"""What became of a call, told later and from anywhere: each report is a short span of its own.

A report refers to its call by ``call.ref``, or by the provider's response id. Its judgement time is its end.
"""

import math
import re
import time
from functools import partial
from typing import Any, Final, Literal

from driftbell.monitor import attributes as names
from driftbell.monitor import guard, provider
from driftbell.monitor.distance import edit_distance as edit_distance_of
from driftbell.monitor.span import Attributes, Later, plain

_REF: Final = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})")
_MAX_TEXT: Final = 200


def override(
    ref: str,
    kind: Literal["accepted", "edited", "rejected", "regenerated"],
    *,
    edit_distance: float | None = None,
    before: str | None = None,
    after: str | None = None,
    review_ms: float | None = None,
    at: float | None = None,
) -> None:
    """A person took, changed or threw away what the model gave.

    ``edit_distance`` is 0 (unchanged) to 1 (nothing left). Given ``before`` and ``after`` instead, it is worked out
    here, off the caller's path, and the texts stay in the process. ``review_ms`` is the time that the person took,
    ``at`` the time of the judgement in epoch seconds, by default now.
    """
    about = {names.OVERRIDE_KIND: kind, names.EDIT_DISTANCE: edit_distance, names.REVIEW_MS: review_ms}
    measured = None
    if edit_distance is None and type(before) is str and type(after) is str:
        measured = partial(_measure, before, after)
    _report(names.OVERRIDE_SPAN, ref, about, at, measured)


def _measure(before: str, after: str, attributes: Attributes) -> None:
    attributes[names.EDIT_DISTANCE] = edit_distance_of(before, after)


def feedback(ref: str, value: Literal[-1, 1], *, at: float | None = None) -> None:
    """The end user liked (1) or disliked (-1) the answer."""
    _report(names.FEEDBACK_SPAN, ref, {names.FEEDBACK: value}, at)


def evaluation(ref: str, name: str, score: float, *, label: str | None = None, at: float | None = None) -> None:
    """A score of 0 to 1 that an evaluation called ``name`` gave."""
    about = {names.EVALUATION_NAME: name, names.EVALUATION_SCORE: score, names.EVALUATION_LABEL: label}
    _report(names.EVALUATION_SPAN, ref, about, at)


def outcome(ref: str, value: str, *, at: float | None = None) -> None:
    """How the case ended, such as ``resolved`` or ``escalated``."""
    _report(names.OUTCOME_SPAN, ref, {names.OUTCOME: value}, at)


def manual_task(
    workflow: str,
    *,
    segment: str | None = None,
    risk_tier: str | None = None,
    user: str | int | None = None,
    at: float | None = None,
) -> None:
    """A task that the workflow could have served was done without the AI."""
    about: Attributes = {names.WORKFLOW: workflow, names.SEGMENT: segment, names.RISK_TIER: risk_tier}
    _report(names.MANUAL_TASK_SPAN, None, about, at, user=user)


def marker(
    kind: str,
    value: str | None = None,
    *,
    workflow: str | None = None,
    text: str | None = None,
    at: float | None = None,
) -> None:
    """Something changed on purpose: ``kind`` is ``release``, ``prompt``, ``model``, ``price``, ``index`` or your own.

    ``value`` names what it changed to, ``text`` is a remark for people.
    """
    about = {
        names.MARKER_KIND: kind,
        names.MARKER_VALUE: value,
        names.MARKER_TEXT: text,
        names.WORKFLOW: workflow,
    }
    _report(names.MARKER_SPAN, None, about, at)


def _report(
    name: str, ref: str | None, about: Attributes, at: float | None, later: Later | None = None, user: Any = None
) -> None:
    try:
        active = provider.recorder()
        if active is None:
            return
        attributes = {} if name in _WITHOUT_CALL else _reference(ref)
        if attributes is None:
            guard.voice.say("driftbell left out a %s: its call reference is empty or no text", name)
            return
        for key, given in about.items():
            value = plain(given)
            if value is not None and not (type(value) is float and not math.isfinite(value)):
                attributes[key] = value[:_MAX_TEXT] if type(value) is str else value
        if user is not None and (identity := plain(user)) is not None:
            attributes[names.USER_ID] = active.privacy.hashed(identity)
        moment = plain(at)
        known = type(moment) in (int, float) and 0 < moment < _LATEST
        at_ns = int(moment * 1e9) if known else time.time_ns()
        active.report(name, attributes, at_ns, later, _sampled_as(name, attributes))
    except Exception as error:  # reports are made in the application's request handlers
        guard.failed("report", error)


_WITHOUT_CALL: Final = (names.MANUAL_TASK_SPAN, names.MARKER_SPAN)
_LATEST: Final = 1 << 33
"""Epoch seconds in the year 2242; later ones are milliseconds by mistake, and count as now."""


def _sampled_as(name: str, attributes: Attributes) -> tuple[int, ...]:
    """The trace ids by which a sampler is to decide: the call's. A marker counts no calls and stays while any stays."""
    if name == names.MARKER_SPAN:
        return _LOWEST_TRACE, _HIGHEST_TRACE
    call = attributes.get(names.CALL_TRACE_ID)
    return () if call is None else (int(call, 16),)


_LOWEST_TRACE: Final = 1 << 64
_HIGHEST_TRACE: Final = (1 << 128) - 1
"""Samplers compare the lower bits of a trace id with their share, and take what lies below it or above it."""


def _reference(ref: Any) -> Attributes | None:
    """The attributes that name the call: its ids, or the provider's response id for any other text."""
    ref = plain(ref)
    if type(ref) is not str or not ref:
        return None
    ids = _REF.fullmatch(ref)
    if ids is None:
        return {names.RESPONSE_ID: ref[:_MAX_TEXT]}
    return {names.CALL_TRACE_ID: ids[1], names.CALL_SPAN_ID: ids[2]}
