"""Nothing that an application hands us can make us raise, change its results, or stop recording the next call."""

import contextlib
import decimal
import enum
import math
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftbell import monitor


class Bomb:
    """Raises whatever one does with it."""

    def __getattribute__(self, name):
        raise ZeroDivisionError(name)

    __iter__ = __len__ = __bool__ = __eq__ = __hash__ = __str__ = __repr__ = __getitem__ = __call__ = lambda *_: 1 / 0


class Endless:
    """Has every attribute, and each is the same again."""

    def __getattr__(self, name):
        return self

    def __iter__(self):
        while True:
            yield self

    def __call__(self, *_, **__):
        return self


class Liar(str):
    __slots__ = ()

    def __str__(self):
        raise ZeroDivisionError

    __repr__ = __len__ = __getitem__ = encode = __str__

    def __eq__(self, _):
        raise ZeroDivisionError

    __hash__ = str.__hash__


class Kind(enum.Enum):
    A = "a"


class LyingInt(int):
    def __int__(self):
        raise ZeroDivisionError

    __index__ = __float__ = __repr__ = __int__


class Fatal:
    """Raises on reading what a response has."""

    @property
    def choices(self):
        raise MemoryError

    @property
    def usage(self):
        raise RuntimeError("a secret")


def deep(levels):
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


def circular():
    loop: dict = {}
    loop["choices"] = [loop]
    loop["usage"] = loop
    return loop


HOSTILE = [
    Bomb(),
    Endless(),
    Liar("x" * 50),
    Liar(""),
    Kind.A,
    LyingInt(7),
    Fatal(),
    mock.MagicMock(),
    mock.Mock(spec=[]),
    deep(5000),
    circular(),
    decimal.Decimal("NaN"),
    math.nan,
    math.inf,
    10**400,
    -1,
    "\ud800",
    "x" * 10**6,
    b"\xff\x00",
    object,
    type,
    lambda: 1 / 0,
    {"choices": Bomb(), "usage": Bomb()},
    {"choices": [Bomb()], "usage": {"prompt_tokens": Bomb()}},
    {"type": "message", "usage": Bomb(), "content": [Bomb()]},
    {"usageMetadata": Endless(), "candidates": [Endless()]},
    {"stopReason": Bomb(), "usage": {"inputTokens": Bomb()}},
    {1: 2, None: 3},
    (Bomb(), Bomb()),
    [Bomb()],
]


class Box:
    """Holds a value that hypothesis itself could not bear to look at."""

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return f"a {type(self.value)}"


hostile = st.one_of(
    st.integers(0, len(HOSTILE) - 1).map(lambda index: Box(HOSTILE[index])),
    st.none().map(Box),
    st.booleans().map(Box),
    st.integers().map(Box),
    st.floats().map(Box),
    st.text(max_size=20).map(Box),
    st.binary(max_size=5).map(Box),
    st.lists(st.integers() | st.text(max_size=3), max_size=3).map(Box),
    st.dictionaries(st.text(max_size=8), st.integers() | st.floats() | st.text(max_size=5), max_size=4).map(Box),
)
FIELDS = [
    "sources",
    "citations",
    "retrieval_ms",
    "format_ok",
    "refused",
    "fallback",
    "attempts",
    "prompt_name",
    "prompt_version",
    "segment",
    "risk_tier",
    "owner",
    "operation",
    "provider",
    "model",
    "user",
    "session",
    "no_such_field",
]

SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["plain", "reading"])
def watched(request, collector, monkeypatch):
    """As in production: our own errors are logged. Once with texts being looked at, once without."""
    monkeypatch.delenv("DRIFTBELL_STRICT")
    monitor.shutdown()
    reads = {"capture": ["answers"], "fingerprint": True} if request.param == "reading" else {}
    assert monitor.configure(endpoint=collector.url, prices={"gpt-4o": {"input": 1}}, **reads)
    yield collector
    monitor.shutdown()


@SETTINGS
@given(result=hostile, argument=hostile)
def test_a_function_returns_what_it_returned(watched, result, argument):
    result, argument = result.value, argument.value

    @monitor.observe("answers", segment=lambda given: given, expects=lambda text: 1 / 0)
    def work(given):
        assert given is argument
        return result

    assert work(argument) is result
    assert driven(monitor.observe("answers")(as_coroutine(result))()) is result


def driven(coroutine):
    """The result of a coroutine that waits for nothing; asyncio's own debugging would look at it."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waited")


def as_coroutine(result):
    async def work():
        return result

    return work


@SETTINGS
@given(chunks=st.lists(hostile, max_size=4))
def test_a_stream_gives_the_chunks_it_gave(watched, chunks):
    chunks = [chunk.value for chunk in chunks]

    @monitor.observe("answers")
    def work():
        yield from chunks

    got = list(work())
    assert len(got) == len(chunks)
    assert all(mine is theirs for mine, theirs in zip(got, chunks, strict=True))


@SETTINGS
@given(field=st.sampled_from(FIELDS), value=hostile, response=hostile)
def test_a_call_takes_any_value(watched, field, value, response):
    value, response = value.value, response.value
    with monitor.observe("answers") as call:
        setattr(call, field, value)
        call.record(response)
        call.set_attribute("mine", value)
        call.set_attribute(value, 1)
        with contextlib.suppress(TypeError):  # what cannot be iterated cannot be streamed either
            if type(value) not in (Bomb, Endless):
                list(zip(range(5), call.stream(value), strict=False))


@SETTINGS
@given(one=hostile, two=hostile)
def test_reports_take_any_value(watched, one, two):
    one, two = one.value, two.value
    monitor.override(one, two, edit_distance=one, review_ms=two, before=one, after=two)
    monitor.feedback(one, two, at=one)
    monitor.evaluation(one, two, one, label=two)
    monitor.outcome(one, two)
    monitor.manual_task(one, segment=two, user=one)
    monitor.marker(one, two, workflow=one, text=two, at=two)


@SETTINGS
@given(value=hostile)
def test_observing_takes_any_dimension(watched, value):
    value = value.value
    try:
        decorated = monitor.observe("answers", segment=value, risk_tier=value, owner=value, model=value)
    except ZeroDivisionError:
        pytest.fail("observe raised")
    assert decorated(lambda: 3)() == 3


@SETTINGS
@given(value=hostile)
def test_configuring_takes_any_argument(value, monkeypatch):
    monkeypatch.delenv("DRIFTBELL_STRICT", raising=False)
    value = value.value
    monitor.configure(endpoint=value, service=value, headers=value, prices=value, redact=value, hash_key=value)
    monitor.configure(tracer_provider=value, exit_seconds=value, capture=value, fingerprint=value, sampler=value)
    monitor.shutdown()


class Strange(BaseException):
    """Raises when it is looked at."""

    __module__ = "strange"

    def __str__(self):
        raise ZeroDivisionError

    __repr__ = __str__


@pytest.mark.parametrize("raised", [Strange(), KeyboardInterrupt(), StopIteration(), RecursionError(), SystemExit(3)])
def test_the_very_exception_reaches_the_caller(watched, raised):
    @monitor.observe("answers")
    def work():
        raise raised

    with pytest.raises(type(raised)) as caught:
        work()
    assert caught.value is raised


def test_after_all_that_the_next_call_is_recorded(watched):
    for value in HOSTILE:
        with monitor.observe("answers") as call:
            call.record(value)
            call.sources = value
    with monitor.observe("last"):
        pass
    assert watched.spans()[-1].name == "last"
