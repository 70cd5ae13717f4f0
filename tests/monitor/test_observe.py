import asyncio
import copy
import functools
import inspect
import threading
import weakref
from unittest import mock

import pytest

from driftbell import monitor

CHAT = {
    "id": "chatcmpl-1",
    "model": "gpt-4o-2024-08-06",
    "choices": [{"finish_reason": "stop", "message": {"content": "hello"}}],
    "usage": {"prompt_tokens": 30, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 10}},
}


def test_a_call_says_which_workflow_it_served_and_what_it_used(recording):
    @monitor.observe(workflow="triage", segment="de", risk_tier="high", owner="team-a")
    def triage(text):
        return CHAT

    assert triage("x") is CHAT
    told = recording.span().attributes
    assert told["driftbell.workflow"] == "triage"
    assert (told["driftbell.segment"], told["driftbell.risk_tier"], told["driftbell.owner"]) == ("de", "high", "team-a")
    assert told["gen_ai.response.model"] == "gpt-4o-2024-08-06"
    assert told["gen_ai.usage.input_tokens"] == 30
    assert told["gen_ai.usage.cache_read.input_tokens"] == 10
    assert told["gen_ai.usage.output_tokens"] == 5
    assert told["gen_ai.response.finish_reasons"] == ["stop"]


def test_an_async_call_ends_when_its_body_does(recording):
    @monitor.observe("triage")
    async def triage():
        await asyncio.sleep(0.02)
        return CHAT

    assert asyncio.run(triage()) is CHAT
    span = recording.span()
    assert span.end - span.start >= 20_000_000
    assert span.attributes["gen_ai.usage.input_tokens"] == 30


def test_segments_may_depend_on_the_arguments(recording):
    @monitor.observe("triage", segment=lambda country: country.lower())
    def triage(country):
        return None

    triage("DE")
    assert recording.span().attributes["driftbell.segment"] == "de"


def test_an_exception_reaches_the_caller_and_only_its_class_the_collector(recording):
    @monitor.observe("triage")
    def triage():
        raise ValueError("a secret prompt")

    with pytest.raises(ValueError, match="a secret prompt"):
        triage()
    span = recording.span()
    assert span.status == 2
    assert span.attributes["error.type"] == "ValueError"
    assert span.attributes["driftbell.status"] == "error"
    assert b"secret" not in b"".join(recording.bodies)


def test_nested_calls_are_parent_and_child(recording):
    @monitor.observe("outer")
    def outer():
        with monitor.observe("inner"):
            pass

    outer()
    inner, parent = recording.spans()
    assert inner.parent_id == parent.span_id
    assert inner.trace_id == parent.trace_id


def test_all_kinds_of_methods_and_callables_are_observed(recording):
    class Callable:
        def __call__(self):
            return 1

    class Service:
        @monitor.observe("above")
        @classmethod
        def above(cls):
            return cls

        @classmethod
        @monitor.observe("below")
        def below(cls):
            return cls

        @monitor.observe
        @staticmethod
        def free():
            return 2

        @monitor.observe()
        def method(self):
            return self

    service = Service()
    assert Service.above() is Service.below() is service.above() is Service
    assert (Service.free(), service.free(), service.method()) == (2, 2, service)
    assert monitor.observe("object")(Callable())() == 1
    assert monitor.observe("partial")(functools.partial(max, 3))(4) == 4
    names = [span.name.rpartition(".")[2] for span in recording.spans()]
    assert names == ["above", "below", "above", "free", "free", "method", "object", "partial"]


class Task:
    """A callable object as frameworks make them: it has more to it than being called."""

    retries = 3

    def __call__(self, *args):
        return args

    def delay(self, *args):
        return "delayed", args


def test_an_observed_object_is_still_what_it_was(recording):
    task = Task()
    observed = monitor.observe("tasks")(task)
    observed.retries = 5
    assert (observed.delay(1), task.retries, repr(observed)) == (("delayed", (1,)), 5, repr(task))
    assert copy.copy(observed)(2) == (2,)

    @monitor.observe("cached")
    @functools.lru_cache
    def cached(number):
        return number

    assert cached(7) == cached(7) == 7
    assert cached.cache_info().hits == 1
    assert [span.name for span in recording.spans()] == ["tasks", "cached", "cached"]


def test_an_observed_object_is_bound_as_a_method_only_if_it_would_be_without(recording):
    class Service:
        task = monitor.observe(Task())

        @monitor.observe
        @functools.lru_cache  # noqa: B019  # a callable object that is bound
        def method(self, number):
            return self, number

    service = Service()
    assert service.task(1) == Service.task(1) == (1,)
    assert service.method(2) == (service, 2)
    assert len(recording.spans()) == 3


def test_an_asynchronous_object_is_seen_to_be_one(recording):
    class Answer:
        async def __call__(self):
            await asyncio.sleep(0.02)
            return CHAT

    observed = monitor.observe("answers")(Answer())
    assert inspect.iscoroutinefunction(observed.__call__)
    assert asyncio.run(observed()) is CHAT
    span = recording.span()
    assert span.end - span.start >= 20_000_000


class Bomb:
    def __call__(self):
        return 3

    def __getattribute__(self, name):
        raise ZeroDivisionError(name)


class Anything:
    def __call__(self):
        return 3

    def __getattr__(self, name):
        return 7


def test_any_object_can_be_observed(recording):
    for hostile in (Bomb(), Anything(), mock.MagicMock(return_value=3), mock.Mock(return_value=3)):
        assert monitor.observe("answers")(hostile)() == 3
        assert monitor.observe(hostile)() == 3
    assert len(recording.spans()) == 8


def test_what_is_no_function_is_left_as_it_is(recording):
    class Model:
        @monitor.observe
        @property
        def name(self):
            return "m"

    assert monitor.observe(Model) is Model
    assert monitor.observe("answers")(Model) is Model
    assert Model().name == "m"
    assert monitor.observe(17)(lambda: 3)() == 3
    assert recording.span().name.endswith("<lambda>")


def test_a_block_may_end_in_another_thread_than_it_began_in(recording):
    """As the blocks of web frameworks do whose dependencies run in a pool of threads."""
    block = monitor.observe("answers")
    for step in (block.__enter__, lambda: block.__exit__(None, None, None)):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert recording.span().name == "answers"


def test_the_arguments_of_a_call_are_let_go_when_it_ends(recording):
    class Document:
        pass

    @monitor.observe("inner")
    def inner(document):
        return None

    document = Document()
    alive = weakref.ref(document)
    with monitor.observe("outer"):
        inner(document)
        del document
        assert alive() is None


def test_a_body_enriches_its_call(recording):
    with monitor.observe("answers") as call:
        call.sources = [monitor.Source("doc-1", 0.9, 12), {"id": "doc-2", "score": 0.5}, "doc-3"]
        call.citations = 1
        call.format_ok = True
        call.user = "alice@example.com"
        call.prompt_version = "v7"
    told = recording.span().attributes
    assert told["gen_ai.retrieval.documents"] == (
        '[{"id":"doc-1","score":0.9,"age_days":12.0},{"id":"doc-2","score":0.5},{"id":"doc-3"}]'
    )
    assert told["driftbell.retrieval.count"] == 3
    assert told["driftbell.citations.count"] == 1
    assert told["driftbell.format_ok"] is True
    assert told["gen_ai.prompt.version"] == "v7"
    assert len(told["user.id"]) == 16
    assert "alice" not in told["user.id"]


@pytest.mark.parametrize("name", ["attempt", "ref", "record", "stream", "no_such_field", "__class__"])
def test_assigning_what_is_no_field_changes_nothing_and_does_not_raise(recording, name):
    with monitor.observe("triage") as call:
        setattr(call, name, 2)
        call.attempt()
        ref = call.ref
    assert len(ref) == 49
    assert recording.span().attributes["driftbell.attempts"] == 2


def test_reports_refer_to_their_call(recording):
    with monitor.observe("answers") as call:
        ref = call.ref
    assert len(ref) == 49
    monitor.override(ref, "edited", edit_distance=0.25, review_ms=4000, at=1_700_000_000)
    _, report = recording.spans()
    assert report.name == "driftbell.override"
    assert report.end == 1_700_000_000 * 10**9
    assert f"{report.attributes['driftbell.call.trace_id']}-{report.attributes['driftbell.call.span_id']}" == ref
    assert report.attributes["driftbell.override.edit_distance"] == 0.25


def test_without_configuration_everything_is_a_no_op():
    monitor.shutdown()

    @monitor.observe("triage")
    def triage():
        monitor.current_call().citations = 3
        return monitor.current_call().ref

    assert triage() == ""
    monitor.feedback("anything", 1)
