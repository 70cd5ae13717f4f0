import asyncio

import pytest

from driftbell import monitor


class Flaky:
    """Fails ``failures`` times, then answers."""

    def __init__(self, failures):
        self.left = failures

    def __call__(self):
        if self.left:
            self.left -= 1
            raise ConnectionError
        return {"choices": [], "model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}


@monitor.observe("model-call")
def ask(model, question):
    return model()


def retried(model, question, tries=3):
    for left in reversed(range(tries)):
        try:
            return ask(model, question)
        except ConnectionError:
            if not left:
                raise
    return None


def test_tries_inside_one_call_are_attempts_of_it(recording):
    with monitor.observe("answers"):
        retried(Flaky(2), "why?")
    spans = {span.attributes.get("driftbell.workflow", span.name): span for span in recording.spans()}
    calls = [span for span in recording.spans() if span.attributes.get("driftbell.workflow") == "model-call"]
    assert len(calls) == 1
    assert calls[0].attributes["driftbell.attempts"] == 3
    assert "gen_ai.operation.name" not in spans["driftbell.attempt"].attributes


def test_a_call_that_fails_for_good_stays_an_error_with_its_attempts(recording):
    with pytest.raises(ConnectionError), monitor.observe("answers"):
        retried(Flaky(9), "why?")
    [call] = [span for span in recording.spans() if span.attributes.get("driftbell.workflow") == "model-call"]
    assert call.attributes["driftbell.attempts"] == 3
    assert call.attributes["driftbell.status"] == "error"


def test_the_same_function_with_other_arguments_is_another_call(recording):
    with monitor.observe("batch"):
        for question in ("first", "second"):
            with pytest.raises(ConnectionError):
                ask(Flaky(1), question)
    calls = [span for span in recording.spans() if span.attributes.get("driftbell.workflow") == "model-call"]
    assert len(calls) == 2
    assert not any("driftbell.attempts" in call.attributes for call in calls)


def test_parallel_calls_are_no_attempts_of_each_other(recording):
    model, question = object(), "why?"

    @monitor.observe("model-call")
    async def ask_slowly(model, question):
        await asyncio.sleep(0)
        raise ConnectionError

    async def both():
        with monitor.observe("answers"):
            await asyncio.gather(ask_slowly(model, question), return_exceptions=True)
            await asyncio.gather(ask_slowly(model, question), return_exceptions=True)

    asyncio.run(both())
    calls = [span for span in recording.spans() if span.attributes.get("driftbell.workflow") == "model-call"]
    assert len(calls) == 2


def test_a_body_may_count_its_own_tries(recording):
    with monitor.observe("answers") as call:
        call.attempt()
        call.attempt()
    assert recording.span().attributes["driftbell.attempts"] == 3
