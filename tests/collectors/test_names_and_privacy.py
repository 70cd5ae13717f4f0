"""What a call is named after, and what is kept of its spans."""

from emitter_spans import CLIENT, PRICES, calls, chat, only, span

from driftbell.collectors.merge import interpret, is_relevant
from driftbell.collectors.span import Span


def test_the_feature_is_named_by_the_best_name_there_is() -> None:
    def named(a_root, a_call, root_name="POST /answer"):
        root = span(root_name, took=9, a=a_root)
        return only(root, chat(root, 1, a=a_call)).workflow

    names = {"traceloop.workflow.name": "b", "ai.telemetry.functionId": "c"}
    assert named(names | {"driftbell.workflow": "a"}, {}) == "a"
    assert named(names, {"ai.telemetry.functionId": "d"}) == "b"
    assert named({}, {"ai.telemetry.functionId": "c"}) == "c"
    assert named({"langfuse.trace.name": "c"}, {}) == "c"
    assert named({}, {}) == "POST /answer"
    assert (
        named({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"}, {}, "invoke_agent clerk")
        == "clerk"
    )
    assert only(chat()).workflow == "shop"


def test_user_ids_of_other_emitters_are_hashed_and_texts_are_not_kept() -> None:
    call = only(
        chat(
            a={
                "enduser.id": "jane@example.com",
                "acme.note": "a whole sentence of somebody",
                "acme.tier": "gold",
                "acme.tries": 3,
                "acme.prompt": "secret",
            }
        )
    )
    assert call.user_id is not None
    assert "jane" not in repr(call)
    assert (call.attributes["acme.tier"], call.attributes["acme.tries"]) == ("gold", 3)
    assert "acme.note" not in call.attributes
    assert "acme.prompt" not in call.attributes


def test_requests_to_databases_are_not_relevant_but_what_may_connect_is() -> None:
    assert not is_relevant(span("SELECT", kind=CLIENT, a={"db.system": "postgresql", "db.statement": "SELECT 1"}))
    assert is_relevant(span("handler"))
    assert is_relevant(span("GET", kind=CLIENT, a={"http.request.method": "POST"}))


def test_spans_that_are_each_others_parents_do_no_harm() -> None:
    a, b = chat(), chat()
    looped = [
        Span(**{**{f: getattr(x, f) for f in Span.__slots__}, "trace_id": "c" * 32, "parent_id": y.span_id})
        for x, y in ((a, b), (b, a))
    ]
    assert len(calls(*looped)) == 1
    own = Span(**{**{f: getattr(a, f) for f in Span.__slots__}, "parent_id": a.span_id})
    assert len(calls(own)) == 1


def test_a_very_deep_trace_is_read() -> None:
    spans = [span("root")]
    for n in range(3000):
        spans.append(span("step", spans[-1], n / 1000, 5))
    spans.append(chat(spans[-1], 3))
    assert len(interpret(spans, PRICES).calls) == 1
