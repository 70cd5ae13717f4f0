"""A call while it runs: how it starts under its caller, becomes current for its body, and ends."""

import contextvars
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Final, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import StatusCode

from driftbell.monitor import attributes as names
from driftbell.monitor import guard, usage
from driftbell.monitor import status as failure
from driftbell.monitor.content import Content, Expects
from driftbell.monitor.privacy import Privacy
from driftbell.monitor.recorder import Recorder
from driftbell.monitor.span import Attributes, DriftbellSpan

_CALL_KEY: Final = otel_context.create_key("driftbell-call")
[_SPAN_KEY] = trace.set_span_in_context(trace.INVALID_SPAN, Context())


def _context_variable() -> ContextVar[Context] | None:
    """The variable in which OpenTelemetry keeps its context; None when it keeps it elsewhere.

    ``attach`` and ``detach`` do the same at five times the price, which counts when it is paid for every chunk.
    """
    probe = Context()
    token = otel_context.attach(probe)
    try:
        return next((var for var, value in contextvars.copy_context().items() if value is probe), None)
    finally:
        otel_context.detach(token)


_variable = _context_variable()
enter: Callable[[Context], Token[Context]] = otel_context.attach if _variable is None else _variable.set
leave_step: Callable[[Token[Context]], None] = otel_context.detach if _variable is None else _variable.reset
"""`leave` for a step that is sure to end where it began."""
current: Callable[[], Context] = otel_context.get_current if _variable is None else _variable.get


def leave(token: Token[Context]) -> None:
    """Return to the context before `enter`. A block that ends in another thread or task has nothing to return to."""
    try:
        leave_step(token)
    except ValueError:
        return


class Work(NamedTuple):
    """What a call is doing, by identity: the same work again after a failure is another attempt at it."""

    observation: object
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def same_as(self, other: "Work") -> bool:
        """Whether it is the same function with the very same arguments. Runs no code of the arguments."""
        return (
            self.observation is other.observation
            and len(self.args) == len(other.args)
            and all(mine is theirs for mine, theirs in zip(self.args, other.args, strict=True))
            and self.kwargs.keys() == other.kwargs.keys()
            and all(value is other.kwargs[name] for name, value in self.kwargs.items())
        )


class CallSpan(DriftbellSpan):
    """The span of a running call. `finish` and `fail` never raise: the application runs around them."""

    observation: object = None
    token: Token[Context] | None = None
    outer: "CallSpan | None" = None
    work: Work | None = None
    content: Content | None = None
    first_chunk = 0
    _held: "CallSpan | None" = None
    _lane: object = None

    def leave(self) -> None:
        """Stop being the current call; the call itself goes on."""
        token, self.token = self.token, None
        if token is not None:
            leave(token)

    def pause(self) -> Context:
        """`leave`, and give the context to `resume` in: what the function returned may be its work still to be done."""
        within = current()
        self.leave()
        return within

    def resume(self, within: Context) -> "CallSpan":
        """Be the current call again, where the rest of its work runs."""
        self.token = enter(within)
        return self

    def finish(self, response: Any = None) -> None:
        """End a call that returned ``response``."""
        try:
            self.leave()
            if response is not None:
                self.read(response)
            self.end()
        except Exception as error:  # the application's return value must reach its caller
            guard.failed("end a call", error)

    def read(self, response: Any) -> None:
        """Read a response of the call. Never raises."""
        usage.read_into(response, self.live_attributes())
        if self.content is not None:
            try:
                self.content.answered(response)
            except Exception as error:  # a response is a foreign object
                guard.voice.say("driftbell could not read a %s: %s", type(response).__name__, type(error).__name__)

    def fail(self, raised: BaseException) -> None:
        """End a call that raised. Inside another call it is held back: the next try may make it an attempt."""
        try:
            self.leave()
            attributes = self.live_attributes()
            attributes[names.STATUS] = status = failure.status(raised)
            attributes[names.ERROR_TYPE] = failure.error_type(raised)
            if status != "cancelled":
                self.set_status(StatusCode.ERROR)
            outer = self.outer
            if outer is None or self.work is None or not outer.is_recording():
                self.end()
            else:
                self._stop_clock()
                self._lane = _lane()
                outer.release()
                outer._held = self
        except Exception as error:  # the application's own exception must reach its caller
            guard.failed("end a call that raised", error)

    def end(self, end_time: int | None = None) -> None:
        """End the call, and the failed try inside it that nothing came after."""
        if self._held is not None:
            self.release()
        if self.content is not None and self.is_recording():
            self.later(self.content.complete)
        self.work = None  # the arguments may be large, and the span waits for its export
        super().end(end_time)

    def release(self) -> None:
        """Let go of the held try: it stays a failed call of its own."""
        held, self._held = self._held, None
        if held is not None:
            held.work = None
            held.hand_over()

    def retried_by(self, work: Work) -> int:
        """How many tries came before ``work`` inside this call; they become attempts instead of calls."""
        held = self._held
        if held is None or held.work is None or not work.same_as(held.work) or held._lane != _lane():
            return 0
        tries = held.live_attributes().get(names.ATTEMPTS, 1)
        held.demote()
        self.release()
        return int(tries)

    def demote(self) -> None:
        """Make a failed try a mere attempt: a span that tells of no call, so that the call is counted once."""
        attributes = self._attributes
        for name in (names.OPERATION, names.WORKFLOW):
            attributes.pop(name, None)
        self._name = names.ATTEMPT_SPAN

    def chunk_arrived(self, at: int) -> None:
        """The first chunk of a stream came, ``at`` epoch nanoseconds."""
        if not self.first_chunk:
            self.first_chunk = at
            attributes = self.live_attributes()
            attributes[names.REQUEST_STREAM] = True
            attributes[names.TIME_TO_FIRST_CHUNK] = max(at - self.start_ns, 0) / 1e9


def _lane() -> object:
    """The thread, and in an event loop the task: retries come one after the other in the same one."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            return asyncio.current_task()
        except RuntimeError:  # no event loop in this thread
            pass
    return threading.get_ident()


def current_span() -> CallSpan | None:
    """The innermost observed call that is running here."""
    found = current().get(_CALL_KEY)
    return found if isinstance(found, CallSpan) else None


def begin(
    recorder: Recorder,
    observation: object,
    name: str,
    attributes: Attributes,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None,
    expects: Expects | None = None,
) -> CallSpan:
    """Start a call under the caller's current span and make it the current one.

    ``kwargs`` is None for a block, which has no arguments to tell a retry by.
    """
    context = current()
    parent = context.get(_SPAN_KEY)
    span = recorder.start(CallSpan, name, attributes, parent, context)
    span.observation = observation
    outer = context.get(_CALL_KEY)
    if outer is not None and isinstance(outer, CallSpan):
        span.outer = outer
        if kwargs is not None:
            span.work = work = Work(observation, args, kwargs)
            if outer._held is not None and (before := outer.retried_by(work)):
                attributes[names.ATTEMPTS] = before + 1
    if expects is not None or recorder.reads_content:
        span.content = _content(recorder.privacy, name, expects)
        if span.content is not None:
            span.content.asked(args, kwargs or {})
    span.token = enter(Context({**context, _SPAN_KEY: span, _CALL_KEY: span}))
    return span


def _content(privacy: Privacy, workflow: str, expects: Expects | None) -> Content | None:
    capture = workflow in privacy.capture
    fingerprint = privacy.all_fingerprints or workflow in privacy.fingerprint
    return Content(privacy, capture, fingerprint, expects) if capture or fingerprint or expects is not None else None
