"""The decorator and context manager that turn a function, or a block, into an observed call."""

import functools
import inspect
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import (
    BuiltinFunctionType,
    CoroutineType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    TracebackType,
    WrapperDescriptorType,
)
from typing import Any, Final, TypeVar, overload

from opentelemetry.context import Context

from driftbell.monitor import attributes as names
from driftbell.monitor import guard, provider, running, stand_in
from driftbell.monitor.call import MAX_TEXT, NOT_RECORDED, Call
from driftbell.monitor.content import Expects
from driftbell.monitor.running import CallSpan
from driftbell.monitor.span import Attributes, plain
from driftbell.monitor.stream import hand_on, is_stream, observe_async_generator, observe_generator

_MAX_OPEN: Final = 100
"""Blocks of one observation that are remembered while they are open; those of others end only where they began."""

_FUNCTIONS: Final = (
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    MethodWrapperType,
    MethodDescriptorType,
    WrapperDescriptorType,
    functools.partial,
)
"""What a function can stand for as it is; any other callable is an object with a life of its own."""

F = TypeVar("F", bound=Callable[..., Any])
Dimension = str | Callable[..., str | None] | None
"""A fixed value, or a function of the observed function's arguments."""


class Observation:
    """What `observe` gives: a decorator, and a context manager for sync and async blocks."""

    def __init__(
        self,
        workflow: str | None,
        fixed: Attributes,
        computed: dict[str, Callable[..., Any]],
        expects: Expects | None = None,
    ) -> None:
        self._name = (workflow or "call")[:MAX_TEXT]
        self._fixed = {names.OPERATION: "chat", **fixed, names.WORKFLOW: self._name}
        self._named = workflow is not None
        self._computed = computed
        self._expects = expects
        self._open: list[CallSpan] = []

    def __call__(self, function: F) -> F:
        """Observe a function. What it returns, raises and looks like stays the same."""
        kind = type(function)
        if issubclass(kind, (classmethod, staticmethod)):
            return kind(self(function.__func__))  # type: ignore[attr-defined]
        if issubclass(kind, type) or not callable(function):
            guard.voice.say("driftbell observes functions; a %.40s is left as it is", kind.__name__)
            return function
        try:
            return self._observed(function)  # type: ignore[no-any-return]
        except Exception as error:  # an object that raises when it is looked at
            guard.voice.say("driftbell cannot observe a %.40s: it raised %s", kind.__name__, type(error).__name__)
            return function

    def _observed(self, function: Callable[..., Any]) -> Any:
        kind = type(function)
        if issubclass(kind, _FUNCTIONS):
            return self._wrapped(function, function, getattr(function, "__qualname__", "call"))
        calling = lambda *args, **kwargs: function(*args, **kwargs)  # noqa: E731  # has no attributes to copy
        return stand_in.of(function, self._wrapped(calling, kind.__call__, kind.__qualname__))

    def _wrapped(self, function: Callable[..., Any], like: Callable[..., Any], name: str) -> Callable[..., Any]:
        """A function of the kind of ``like`` that calls ``function``."""
        observation = self if self._named else self._renamed(name)
        if inspect.isasyncgenfunction(like):
            return observe_async_generator(observation.begin, function)
        if inspect.isgeneratorfunction(like):
            return observe_generator(observation.begin, function)
        if inspect.iscoroutinefunction(like):
            return observation._coroutine(function)
        return observation._plain(function)

    def _renamed(self, workflow: str) -> "Observation":
        return Observation(workflow, self._fixed, self._computed, self._expects)

    def _plain(self, function: Callable[..., Any]) -> Callable[..., Any]:
        begin = self.begin

        @functools.wraps(function)
        def observed(*args: Any, **kwargs: Any) -> Any:
            span = begin(args, kwargs)
            if span is None:
                return function(*args, **kwargs)
            try:
                result = function(*args, **kwargs)
            except BaseException as raised:
                span.fail(raised)
                raise
            return _returned(span, result)

        return observed

    def _coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        begin = self.begin

        @functools.wraps(function)
        async def observed(*args: Any, **kwargs: Any) -> Any:
            span = begin(args, kwargs)
            if span is None:
                return await function(*args, **kwargs)
            try:
                result = await function(*args, **kwargs)
            except BaseException as raised:
                span.fail(raised)
                raise
            return _returned(span, result)

        return observed

    def begin(self, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> CallSpan | None:
        """Start a call; None when nothing is recorded. Never raises."""
        try:
            recorder = provider.recorder()
            if recorder is None:
                return None
            attributes = self._fixed.copy()
            if self._computed:
                _compute(self._computed, attributes, args, kwargs or {})
            return running.begin(recorder, self, self._name, attributes, args, kwargs, self._expects)
        except Exception as error:  # an observed function must run, whatever happens here
            guard.failed("start a call", error)
            return None

    def __enter__(self) -> Call:
        """Start a call that lasts until the end of the block."""
        span = self.begin()
        if span is None:
            return NOT_RECORDED
        if len(self._open) < _MAX_OPEN:
            self._open.append(span)
        return Call(span)

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, _: TracebackType | None) -> None:
        span = running.current_span()
        while span is not None and span.observation is not self:
            span = span.outer
        if span is None and len(still := self._open[:2]) == 1:  # it ends in another thread or task than it began in
            span = still[0]
        if span is None:
            return
        with suppress(ValueError):
            self._open.remove(span)
        if raised is None:
            span.finish()
        else:
            span.fail(raised)

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
        text = plain(value)
        if text is not None:
            attributes[name] = str(text)[:MAX_TEXT]


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
    expects: Expects | None = None,
) -> Observation: ...
def observe(workflow: Any = None, *, expects: Expects | None = None, **dimensions: Any) -> Any:
    """Observe a function, or a ``with`` block, as one LLM call of ``workflow``.

    Use it as ``@observe``, ``@observe(workflow="triage")`` or ``with observe("triage") as call:``. Without a name the
    workflow is named after the function. ``segment``, ``risk_tier`` and ``prompt_version`` may be functions of the
    observed function's arguments. ``model``, ``provider`` and ``operation`` fill in what a response does not tell.
    ``expects`` is the form that an answer is to have, ``"json"`` or a function of its text; it is checked off the call
    path, and only the verdict leaves the process.
    """
    if workflow is not None and not issubclass(type(workflow), str):
        if callable(workflow) or issubclass(type(workflow), (classmethod, staticmethod, property)):
            return Observation(None, {}, {})(workflow)
        guard.voice.say("driftbell's observe takes a workflow's name; a %.40s is none", type(workflow).__name__)
        workflow = None
    fixed: Attributes = {}
    computed: dict[str, Callable[..., Any]] = {}
    for name, value in dimensions.items():
        text = plain(value)
        if name not in _DIMENSIONS or (text is None and value is not None and not callable(value)):
            guard.voice.say("driftbell's observe left out %.40s: it takes a text, or a function of the arguments", name)
        elif text is not None:
            fixed[_DIMENSIONS[name]] = str(text)[:MAX_TEXT]
        elif value is not None:
            computed[_DIMENSIONS[name]] = value
    return Observation(plain(workflow), fixed, computed, expects)


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
    """The innermost observed call that is running here; one that keeps nothing when there is none."""
    span = running.current_span()
    return NOT_RECORDED if span is None else Call(span)


def _returned(span: CallSpan, result: Any) -> Any:
    """End a call that returned, or let it go on with the stream or coroutine that it returned."""
    try:
        if is_stream(result):
            return hand_on(span, result)
        if type(result) is CoroutineType:
            return _awaited(span, span.pause(), result)
    except Exception as error:  # the result is a foreign object
        guard.failed("follow a returned stream", error)
    span.finish(result)
    return result


async def _awaited(span: CallSpan, within: Context, coroutine: Coroutine[Any, Any, Any]) -> Any:
    span.resume(within)
    try:
        result = await coroutine
    except BaseException as raised:
        span.fail(raised)
        raise
    return _returned(span, result)
