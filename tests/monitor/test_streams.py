import asyncio
import gc
import inspect

import pytest
from opentelemetry import trace

from driftbell import monitor


def chunk(text=None, finish=None, usage=None):
    choices = [] if usage else [{"delta": {"content": text}, "finish_reason": finish}]
    return {"id": "chatcmpl-9", "model": "gpt-4o-mini", "choices": choices, "usage": usage}


CHUNKS = [
    *(chunk(f"word{n} ") for n in range(50)),
    chunk(finish="stop"),
    chunk(usage={"prompt_tokens": 11, "completion_tokens": 50}),
]


@monitor.observe("answers")
def answers():
    yield from CHUNKS


@monitor.observe("answers")
async def async_answers():
    for one in CHUNKS:
        await asyncio.sleep(0)
        yield one


def check_stream(span):
    told = span.attributes
    assert told["gen_ai.usage.input_tokens"] == 11
    assert told["gen_ai.usage.output_tokens"] == 50
    assert told["gen_ai.response.finish_reasons"] == ["stop"]
    assert told["gen_ai.response.model"] == "gpt-4o-mini"
    assert told["gen_ai.request.stream"] is True
    assert 0 <= told["gen_ai.response.time_to_first_chunk"] < 10


def test_a_generator_gives_the_same_chunks_and_its_usage(recording):
    assert list(answers()) == CHUNKS
    check_stream(recording.span())


def test_an_async_generator_gives_the_same_chunks_and_its_usage(recording):
    async def read():
        return [one async for one in async_answers()]

    assert asyncio.run(read()) == CHUNKS
    check_stream(recording.span())


def test_observed_generators_still_look_like_what_they_are():
    assert inspect.isgeneratorfunction(answers)
    assert inspect.isasyncgenfunction(async_answers)


def test_a_generator_that_a_function_returns_is_followed_to_its_end(recording):
    @monitor.observe("answers")
    def opened():
        return (one for one in CHUNKS)

    stream = opened()
    assert inspect.isgenerator(stream)
    assert recording.spans() == []
    assert list(stream) == CHUNKS
    check_stream(recording.span())


def test_a_returned_stream_that_nobody_reads_still_ends_its_call(recording):
    @monitor.observe("answers")
    def opened():
        return (one for one in CHUNKS)

    opened()
    gc.collect()
    assert recording.span().name == "answers"


def test_a_client_stream_keeps_its_identity(recording):
    class Stream:
        def __init__(self):
            self._iterator = (one for one in CHUNKS)

        def __iter__(self):
            return iter(self._iterator)

        def __next__(self):
            return next(self._iterator)

    stream = Stream()

    @monitor.observe("answers")
    def opened():
        return stream

    assert opened() is stream
    assert list(stream) == CHUNKS
    check_stream(recording.span())


def test_an_iterator_whose_owner_asks_more_of_it_than_chunks_is_left_alone(recording):
    class Peekable:
        def __init__(self):
            self.waiting = list(CHUNKS)

        def peek(self):
            return self.waiting[:1]

        def __iter__(self):
            return self

        def __next__(self):
            return self.waiting.pop(0)

    class Stream:
        def __init__(self):
            self._iterator = Peekable()

        def __iter__(self):
            return self

        def __next__(self):
            if not self._iterator.peek():
                raise StopIteration
            return next(self._iterator)

    assert list(monitor.observe("answers")(Stream)()) == CHUNKS
    assert list(monitor.observe("answers")(lambda: Stream())()) == CHUNKS
    assert recording.span().name == "answers"


def enrich():
    monitor.current_call().segment = "de"
    with monitor.observe("step"):
        pass


def returns_a_generator():
    def body():
        enrich()
        yield 1

    return body()


def returns_an_async_generator():
    async def body():
        enrich()
        yield 1

    return body()


def returns_a_coroutine():
    async def body():
        enrich()

    return body()


async def read_to_the_end(result):
    if inspect.isgenerator(result):
        list(result)
    elif inspect.isasyncgen(result):
        async for _ in result:
            assert monitor.current_call().ref == ""
    else:
        await result
    assert monitor.current_call().ref == ""


@pytest.mark.parametrize("function", [returns_a_generator, returns_an_async_generator, returns_a_coroutine])
def test_what_a_function_returns_to_be_run_later_runs_in_its_call(recording, function):
    asyncio.run(read_to_the_end(monitor.observe("answers")(function)()))
    step, answers = recording.spans()
    assert (step.name, step.parent_id) == ("step", answers.span_id)
    assert answers.attributes["driftbell.segment"] == "de"


def test_a_stream_read_inside_the_body_is_followed(recording):
    @monitor.observe("answers")
    def answer():
        call = monitor.current_call()
        return "".join(
            one["choices"][0]["delta"]["content"] or "" for one in call.stream(iter(CHUNKS)) if one["choices"]
        )

    assert answer().startswith("word0 word1 ")
    check_stream(recording.span())


def test_an_async_stream_read_inside_the_body_is_followed(recording):
    async def source():
        for one in CHUNKS:
            yield one

    async def answer():
        async with monitor.observe("answers") as call:
            return [one async for one in call.stream(source())]

    assert asyncio.run(answer()) == CHUNKS
    check_stream(recording.span())


def test_a_reader_that_leaves_early_leaves_a_cancelled_call(recording):
    stream = answers()
    next(stream)
    stream.close()
    span = recording.span()
    assert span.attributes["driftbell.status"] == "cancelled"
    assert span.status != 2


def test_a_stream_that_breaks_is_an_error_and_raises_what_it_raised(recording):
    @monitor.observe("answers")
    def broken():
        yield chunk("a")
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        list(broken())
    assert recording.span().attributes["error.type"] == "ConnectionError"


def test_send_and_throw_reach_the_body(recording):
    @monitor.observe("echo")
    def echo():
        given = yield "ready"
        while given != "stop":
            try:
                given = yield given
            except ValueError:
                given = yield "caught"
        return "done"

    talk = echo()
    assert next(talk) == "ready"
    assert talk.send("a") == "a"
    assert talk.throw(ValueError()) == "caught"
    with pytest.raises(StopIteration) as end:
        talk.send("stop")
    assert end.value.value == "done"


def test_async_send_and_throw_reach_the_body(recording):
    @monitor.observe("echo")
    async def echo():
        given = yield "ready"
        while True:
            try:
                given = yield given
            except ValueError:
                given = yield "caught"

    async def talk():
        body = echo()
        heard = [await anext(body), await body.asend("a"), await body.athrow(ValueError())]
        await body.aclose()
        return heard

    assert asyncio.run(talk()) == ["ready", "a", "caught"]
    assert recording.span().attributes["driftbell.status"] == "cancelled"


def test_the_call_is_current_in_the_body_and_nowhere_else(recording):
    seen = []

    @monitor.observe("answers")
    def body():
        for _ in range(3):
            seen.append(monitor.current_call().ref)
            yield 1

    for _ in body():
        assert monitor.current_call().ref == ""
        assert not trace.get_current_span().get_span_context().is_valid
    assert len(set(seen)) == 1
    assert seen[0]


def test_two_generators_read_in_turns_keep_their_own_calls(recording):
    @monitor.observe("answers")
    def body():
        first = monitor.current_call().ref
        yield first
        assert monitor.current_call().ref == first
        yield first

    one, two = body(), body()
    refs = [next(one), next(two), next(one), next(two)]
    assert refs[0] == refs[2] != refs[1] == refs[3]


def test_a_span_that_a_body_keeps_open_stays_current_across_chunks(recording):
    inner = []

    @monitor.observe("answers")
    def body():
        with monitor.observe("inner") as call:
            yield 1
            inner.append((call.ref, monitor.current_call().ref))
            yield 2

    list(body())
    assert inner[0][0] == inner[0][1]


def test_the_work_for_a_chunk_does_not_grow_with_the_stream(recording):
    """No more than a fixed number of chunks is kept, whatever the length of the stream."""
    import weakref

    class Chunk:
        pass

    alive = weakref.WeakSet()

    @monitor.observe("answers")
    def body():
        for _ in range(2000):
            one = Chunk()
            alive.add(one)
            yield one

    most = 0
    for _ in body():
        most = max(most, len(alive))
    assert most < 20


def test_a_coroutine_that_a_plain_function_returns_is_awaited_by_its_caller(recording):
    async def work():
        await asyncio.sleep(0.01)
        return {"choices": [], "model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}

    @monitor.observe("answers")
    def start():
        return work()

    assert asyncio.run(start())["model"] == "gpt-4o"
    span = recording.span()
    assert span.end - span.start >= 10_000_000
    assert span.attributes["gen_ai.usage.output_tokens"] == 2
