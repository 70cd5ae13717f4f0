"""Streams: time to the first chunk and the usage at the end, with the same small work for every chunk.

Nothing is read while a stream runs. The first and the last few chunks are kept, because that is where every provider
puts the model, the finish reason and the running total of tokens; they are read once, after the end.
"""

import contextvars
import functools
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextvars import Token
from time import time_ns
from types import AsyncGeneratorType, GeneratorType, TracebackType
from typing import Any, Final

from opentelemetry.context import Context

from driftbell.monitor import guard, usage
from driftbell.monitor.running import CallSpan, current, enter, leave

_KEPT_LAST: Final = 6
_INNER_ITERATORS: Final = ("_iterator", "generator")
"""Where stream objects of clients keep the iterator that they hand on: OpenAI's and Anthropic's, Mistral's."""

Begin = Callable[[tuple[Any, ...], dict[str, Any]], CallSpan | None]


class Tail:
    """The chunks of one stream that are worth reading, and the call they belong to (None: nothing is recorded).

    With ``ends`` the call ends with the stream. As a context manager it stands around the reading of the stream.
    """

    __slots__ = ("_ends", "_first", "_last", "add", "span")

    def __init__(self, span: CallSpan | None, ends: bool = True) -> None:
        self.span = span
        self._ends = ends
        self._first: list[Any] = []
        self._last: deque[Any] = deque(maxlen=_KEPT_LAST)
        self.add: Callable[[Any], object] = self._last.append
        if span is not None and span.content is not None:
            self.add = self._add_with_text

    def first(self, chunk: Any) -> None:
        """The first chunk, which stops the clock of the time to it."""
        if self.span is not None:
            self.span.chunk_arrived(time_ns())
            if self.span.content is not None:
                self._text(chunk)
        self._first.append(chunk)

    def _add_with_text(self, chunk: Any) -> None:
        self._last.append(chunk)
        self._text(chunk)

    def _text(self, chunk: Any) -> None:
        try:
            if self.span is not None and self.span.content is not None:
                self.span.content.streamed(chunk)
        except Exception as error:  # chunks are foreign objects
            guard.voice.say("driftbell could not read a chunk: %s", type(error).__qualname__)

    def read(self) -> None:
        """Put what the kept chunks tell on the call. Never raises."""
        if self.span is None:
            return
        try:
            reading = usage.read_stream(self._first, self._last)
            if reading:
                usage.add(reading, self.span.live_attributes())
        except Exception as error:  # chunks are foreign objects
            guard.voice.say("driftbell could not read the end of a stream: %s", type(error).__qualname__)

    def finish(self, result: Any = None) -> None:
        """The stream came to its end."""
        self.read()
        if self.span is not None and self._ends:
            self.span.finish(result)

    def fail(self, raised: BaseException) -> None:
        """The stream broke, or its reader left."""
        self.read()
        if self.span is not None and self._ends:
            self.span.fail(raised)

    def __enter__(self) -> None:
        """The reading begins."""

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, _: TracebackType | None) -> None:
        if raised is None:
            self.finish()
        else:
            self.fail(raised)


def observe_generator(begin: Begin, function: Callable[..., Any]) -> Callable[..., Generator[Any, Any, Any]]:
    """A generator function as a call, which begins with the first step and is current only while the body runs.

    The body runs in a context of its own, as a task does. That costs a third of switching the current span at every
    chunk, and a body whose steps run in different threads (as web servers run them) finds its context variables again.
    """

    @functools.wraps(function)
    def observed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        context = contextvars.copy_context()
        span = context.run(begin, args, kwargs)
        tail = Tail(span)
        run: Callable[..., Any] = _call
        if span is not None:
            run, span.token = context.run, None  # that context is left by leaving `run`
        try:
            body = function(*args, **kwargs)
            send = body.send
            chunk = run(send, None)
            tail.first(chunk)
            add = tail.add
            while True:
                try:
                    sent = yield chunk
                except GeneratorExit:
                    run(body.close)
                    raise
                except BaseException as thrown:
                    chunk = run(body.throw, thrown)
                else:
                    chunk = run(send, sent)
                add(chunk)
        except StopIteration as stop:
            tail.finish(stop.value)
            return stop.value
        except BaseException as raised:
            tail.fail(raised)
            raise

    return observed


def _call(step: Callable[..., Any], *args: Any) -> Any:
    return step(*args)


def observe_async_generator(begin: Begin, function: Callable[..., Any]) -> Callable[..., AsyncGenerator[Any, Any]]:
    """`observe_generator` for asynchronous generator functions."""

    @functools.wraps(function)
    async def observed(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        tail = Tail(begin(args, kwargs))
        try:
            body = function(*args, **kwargs)
            send = body.asend
            chunk = await send(None)
            tail.first(chunk)
            add = tail.add
            here = _pause(tail.span)
            while True:
                try:
                    sent = yield chunk
                except GeneratorExit:
                    await _async_within(here, body.aclose)
                    raise
                except BaseException as thrown:
                    chunk, here = await _async_within(here, body.athrow, thrown)
                    continue
                token = enter(here)
                try:
                    chunk = await send(sent)
                finally:
                    here = current()
                    leave(token)
                add(chunk)
        except StopAsyncIteration:
            tail.finish()
        except BaseException as raised:
            tail.fail(raised)
            raise

    return observed


def _pause(span: CallSpan | None) -> Context:
    """The context that the body runs in, after returning to that of its caller."""
    return current() if span is None else span.pause()


async def _async_within(here: Context, step: Callable[..., Any], *args: Any) -> tuple[Any, Context]:
    token: Token[Context] = enter(here)
    try:
        return await step(*args), current()
    finally:
        leave(token)


_stream_types: dict[type, bool] = {}


def is_stream(result: Any) -> bool:
    """Whether a returned object is an iterator, sync or async: then the call lasts until it is read."""
    kind = type(result)
    known = _stream_types.get(kind)
    if known is None:
        known = hasattr(kind, "__next__") or hasattr(kind, "__anext__")
        if len(_stream_types) < 1000:
            _stream_types[kind] = known
    return known


def hand_on(span: CallSpan, stream: Any) -> Any:
    """Let the call last as long as a stream that the observed function returned, and give the stream to its caller.

    Stream objects of clients stay the objects they are, a generator is handed on in another generator. An iterator of
    any other kind is left alone: the call ends here, without usage.
    """
    within = span.pause()
    follower: Any
    if type(stream) is GeneratorType:
        follower = observe_generator(lambda *_: span.resume(within), lambda: stream)()
    elif type(stream) is AsyncGeneratorType:
        follower = observe_async_generator(lambda *_: span.resume(within), lambda: stream)()
    else:
        return _tap_inside(span, stream)
    weakref.finalize(follower, span.end).atexit = False  # a stream that nobody reads ends its call when it is dropped
    return follower


def _tap_inside(span: CallSpan, stream: Any) -> Any:
    for name in _INNER_ITERATORS:
        inner = getattr(stream, name, None)
        if type(inner) in (GeneratorType, AsyncGeneratorType):  # of another iterator, its owner may ask for more
            follower = follow(inner, Tail(span))
            weakref.finalize(follower, span.end).atexit = False
            setattr(stream, name, follower)
            return stream
    span.finish()
    return stream


def follow(stream: Any, tail: Tail) -> Any:
    """An iterator over the same chunks that keeps the tail: synchronous, asynchronous or both, as the stream is.

    Raises `TypeError` for what is neither.
    """
    asynchronous = hasattr(type(stream), "__aiter__") or hasattr(type(stream), "__anext__")
    if not asynchronous:
        return _follow(iter(stream), tail)
    if hasattr(type(stream), "__iter__"):
        return _Either(stream, tail)
    return _follow_async(aiter(stream) if hasattr(type(stream), "__aiter__") else stream, tail)


class _Either:
    """A stream that may be read either way, such as LiteLLM's: which way shows when it is read."""

    def __init__(self, stream: Any, tail: Tail) -> None:
        self._of = (stream, tail)

    def __iter__(self) -> Iterator[Any]:
        stream, tail = self._of
        return _follow(iter(stream), tail)

    def __aiter__(self) -> AsyncIterator[Any]:
        stream, tail = self._of
        return _follow_async(aiter(stream), tail)


def _follow(chunks: Iterator[Any], tail: Tail) -> Iterator[Any]:
    keep: Callable[[Any], object] = tail.first
    with tail:
        for chunk in chunks:
            keep(chunk)
            keep = tail.add
            yield chunk


async def _follow_async(chunks: AsyncIterator[Any], tail: Tail) -> AsyncIterator[Any]:
    keep: Callable[[Any], object] = tail.first
    with tail:
        async for chunk in chunks:
            keep(chunk)
            keep = tail.add
            yield chunk
