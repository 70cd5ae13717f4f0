"""What became of a call, told later and from anywhere: each report is a short span of its own.

A report refers to its call by ``call.ref``, or by the provider's response id. Its judgement time is its end.
"""

import math
import re
import time
from typing import Any, Final, Literal

from driftbell.monitor import attributes as names
from driftbell.monitor import guard, provider
from driftbell.monitor.span import Attributes, plain

_REF: Final = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})")
_MAX_TEXT: Final = 200


def override(
    ref: str,
    kind: Literal["accepted", "edited", "rejected", "regenerated"],
    *,
    edit_distance: float | None = None,
    review_ms: float | None = None,
    at: float | None = None,
) -> None:
    """A person took, changed or threw away what the model gave.

    ``edit_distance`` is 0 (unchanged) to 1 (nothing left), ``review_ms`` the time that the person took, ``at`` the
    time of the judgement in epoch seconds, by default now.
    """
    about = {names.OVERRIDE_KIND: kind, names.EDIT_DISTANCE: edit_distance, names.REVIEW_MS: review_ms}
    _report(names.OVERRIDE_SPAN, ref, about, at)


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
    active = provider.recorder()
    if active is not None and user is not None:
        about[names.USER_ID] = active.privacy.hashed(user)
    _report(names.MANUAL_TASK_SPAN, None, about, at)


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


def _report(name: str, ref: str | None, about: Attributes, at: float | None) -> None:
    try:
        active = provider.recorder()
        if active is None:
            return
        attributes = _reference(ref) if ref is not None else {}
        if attributes is None:
            guard.voice.say("driftbell left out a %s: its call reference is empty", name)
            return
        for key, given in about.items():
            value = plain(given)
            if isinstance(value, float) and not math.isfinite(value):
                continue
            if value is not None:
                attributes[key] = value[:_MAX_TEXT] if isinstance(value, str) else value
        active.report(name, attributes, time.time_ns() if at is None else int(at * 1e9))
    except Exception as error:  # reports are made in the application's request handlers
        guard.failed("report", error)


def _reference(ref: Any) -> Attributes | None:
    """The attributes that name the call: its ids, or the provider's response id for any other text."""
    if not isinstance(ref, str) or not ref:
        return None
    ids = _REF.fullmatch(ref)
    if ids is None:
        return {names.RESPONSE_ID: ref[:_MAX_TEXT]}
    return {names.CALL_TRACE_ID: ids[1], names.CALL_SPAN_ID: ids[2]}
