"""The decorator and context manager that turn a function, or a block, into an observed call."""

import functools
import inspect
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import Any, Final, TypeVar, overload

from opentelemetry import context as otel_context
from opentelemetry.trace import StatusCode

from driftbell.monitor import attributes as names
from driftbell.monitor import guard, provider, usage
from driftbell.monitor import status as failure
from driftbell.monitor.call import NOT_RECORDED, Call
from driftbell.monitor.span import Attributes, DriftbellSpan

F = TypeVar("F", bound=Callable[..., Any])
Dimension = str | Callable[..., str | None] | None
"""A fixed value, or a function of the observed function's arguments."""

_CALL_KEY: Final = otel_context.create_key("driftbell-call")


class Open:
    """A call that is running: its span, and the context to return to when it ends."""

    __slots__ = ("call", "span", "token")

    def __init__(self, call: Call, span: DriftbellSpan, token: Token[otel_context.Context]) -> None:
        self.call = call
        self.span = span
        self.token = token

    def finish(self, response: Any = None) -> None:
        """End a call that returned. Never raises."""
        try:
            otel_context.detach(self.token)
            if response is not None:
                usage.read_into(response, self.span.live_attributes())
            self.span.end()
        except Exception as error:  # the application's return value must reach its caller
            guard.failed("end a call", error)

    def fail(self, raised: BaseException) -> None:
        """End a call that raised. Never raises."""
        try:
            otel_context.detach(self.token)
            attributes = self.span.live_attributes()
            attributes[names.STATUS] = failure.status(raised)
            attributes[names.ERROR_TYPE] = failure.error_type(raised)
            self.span.set_status(StatusCode.ERROR)
            self.span.end()
        except Exception as error:  # the application's own exception must reach its caller
            guard.failed("end a call that raised", error)


class Observation:
    """What `observe` gives: a decorator, and a context manager for sync and async blocks."""

    def __init__(self, workflow: str | None, fixed: Attributes, computed: dict[str, Callable[..., Any]]) -> None:
        self._name = workflow or "call"
        self._fixed = {names.OPERATION: "chat", names.WORKFLOW: self._name, **fixed}
        self._named = workflow is not None
        self._computed = computed
        self._entered: list[Open | None] = []

    def __call__(self, function: F) -> F:
        """Observe a function. What it returns, raises and looks like stays the same."""
        if isinstance(function, (classmethod, staticmethod)):
            return type(function)(self(function.__func__))
        observation = self if self._named else self._renamed(getattr(function, "__qualname__", "call"))
        if inspect.iscoroutinefunction(function):
            wrapper: Any = observation._coroutine(function)
        else:
            wrapper = observation._plain(function)
        return wrapper  # type: ignore[no-any-return]

    def _renamed(self, workflow: str) -> "Observation":
        fixed = {name: value for name, value in self._fixed.items() if name != names.WORKFLOW}
        return Observation(workflow, fixed, self._computed)

    def _plain(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def observed(*args: Any, **kwargs: Any) -> Any:
            running = self.begin(args, kwargs)
            if running is None:
                return function(*args, **kwargs)
            try:
                result = function(*args, **kwargs)
            except BaseException as raised:
                running.fail(raised)
                raise
            running.finish(result)
            return result

        return observed

    def _coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def observed(*args: Any, **kwargs: Any) -> Any:
            running = self.begin(args, kwargs)
            if running is None:
                return await function(*args, **kwargs)
            try:
                result = await function(*args, **kwargs)
            except BaseException as raised:
                running.fail(raised)
                raise
            running.finish(result)
            return result

        return observed

    def begin(self, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Open | None:
        """Start a call; None when nothing is recorded. Never raises."""
        try:
            recorder = provider.recorder()
            if recorder is None:
                return None
            attributes = self._fixed.copy()
            if self._computed:
                _compute(self._computed, attributes, args, kwargs or {})
            span, context = recorder.begin(self._name, attributes)
            call = Call(span, recorder.privacy)
            token = otel_context.attach(otel_context.set_value(_CALL_KEY, call, context))
            return Open(call, span, token)
        except Exception as error:  # an observed function must run, whatever happens here
            guard.failed("start a call", error)
            return None

    def __enter__(self) -> Call:
        """Start a call that lasts until the end of the block."""
        running = self.begin()
        self._entered.append(running)
        return NOT_RECORDED if running is None else running.call

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, _: TracebackType | None) -> None:
        running = self._entered.pop() if self._entered else None
        if running is None:
            return
        if raised is None:
            running.finish()
        else:
            running.fail(raised)

    async def __aenter__(self) -> Call:
        """As `__enter__`, for ``async with``."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, raised, traceback)


def _compute(
    computed: dict[str, Callable[..., Any]], attributes: Attributes, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    for name, function in computed.items():
        try:
            value = function(*args, **kwargs)
        except Exception as error:  # the application's own function; its call must go on without the dimension
            guard.voice.say("driftbell left out %s: computing it raised %s", name, type(error).__qualname__)
            continue
        if isinstance(value, str):
            attributes[name] = str.__str__(value)[:200]


@overload
def observe(workflow: F, /) -> F: ...
@overload
def observe(
    workflow: str | None = None,
    *,
    segment: Dimension = None,
    risk_tier: Dimension = None,
    owner: str | None = None,
    model: str | None = None,
    provider: str | None = None,
    operation: str | None = None,
    prompt_name: str | None = None,
    prompt_version: Dimension = None,
) -> Observation: ...
def observe(workflow: Any = None, **dimensions: Any) -> Any:
    """Observe a function, or a ``with`` block, as one LLM call of ``workflow``.

    Use it as ``@observe``, ``@observe(workflow="triage")`` or ``with observe("triage") as call:``. Without a name the
    workflow is named after the function. ``segment``, ``risk_tier`` and ``prompt_version`` may be functions of the
    observed function's arguments. ``model``, ``provider`` and ``operation`` fill in what a response does not tell.
    """
    if workflow is not None and not isinstance(workflow, str):
        return Observation(None, {}, {})(workflow)
    given = {_DIMENSIONS[name]: value for name, value in dimensions.items() if value is not None}
    computed = {name: value for name, value in given.items() if callable(value)}
    fixed = {name: str(value)[:200] for name, value in given.items() if name not in computed}
    return Observation(workflow, fixed, computed)


_DIMENSIONS: Final = {
    "segment": names.SEGMENT,
    "risk_tier": names.RISK_TIER,
    "owner": names.OWNER,
    "model": names.REQUEST_MODEL,
    "provider": names.PROVIDER,
    "operation": names.OPERATION,
    "prompt_name": names.PROMPT_NAME,
    "prompt_version": names.PROMPT_VERSION,
}


def current_call() -> Call:
    """The observed call that is running here; one that keeps nothing when there is none."""
    found = otel_context.get_value(_CALL_KEY)
    return found if isinstance(found, Call) else NOT_RECORDED
