"""Searching calls: the newest first, each once, and never more looked at than was agreed."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbell.collectors.batch import Batch
from driftbell.collectors.call import Call
from driftbell.collectors.query import BadQueryError
from driftbell.collectors.search import Wanted, search
from driftbell.collectors.store import Store

CALL = Call(1000.0, "triage", segment="emea", model="atlas", prompt_version="v1", user_id="u1")


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path, clock=lambda: 5000.0)
    yield opened
    opened.close()


def numbered(n: int, **given: object) -> list[Call]:
    """Calls a second apart."""
    calls = [replace(CALL, ts=CALL.ts + i, trace_id=f"{i + 1:032x}", span_id=f"{i + 1:016x}") for i in range(n)]
    return [replace(call, **given) for call in calls] if given else calls


def everything(store: Store, wanted: Wanted, limit: int = 7, most: int = 10_000) -> list[Call]:
    """All pages one after the other."""
    found: list[Call] = []
    cursor: str | None = None
    for _ in range(1000):
        page = search(store.read(), wanted, limit, cursor, most)
        assert len(page.calls) <= limit
        assert page.looked_at <= most
        found += page.calls
        cursor = page.next
        if cursor is None:
            return found
    raise AssertionError("the pages have no end")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab"), st.sampled_from(["x", "y"])), max_size=60),
       st.integers(1, 9), st.integers(1, 20))  # fmt: skip
def test_the_pages_together_hold_every_fitting_call_once_the_newest_first(tmp_path_factory, made, limit, most):
    store = Store.open(tmp_path_factory.mktemp("store"), clock=lambda: 5000.0)
    calls = [
        replace(CALL, ts=1000.0 + ts, workflow=workflow, segment=segment, span_id=f"{i + 1:016x}", trace_id=f"{i:032x}")
        for i, (ts, workflow, segment) in enumerate(made)
    ]
    store.append(Batch(calls=calls))
    found = everything(store, Wanted(segment="x", since=1002.0, until=1025.0), limit, most)
    fitting = [call for call in calls if call.segment == "x" and 1002 <= call.ts < 1025]
    assert sorted(call.span_id for call in found) == sorted(call.span_id for call in fitting)
    assert [call.ts for call in found] == sorted((call.ts for call in fitting), reverse=True)
    store.close()


def test_what_almost_nothing_fits_ends_where_it_was_agreed_and_says_where(store):
    store.append(Batch(calls=numbered(100)))
    page = search(store.read(), Wanted(user_id="nobody"), 10, None, most=30)
    assert (page.calls, page.looked_at, page.back_to) == ((), 30, 1070.0)
    assert page.next is not None
    assert everything(store, Wanted(user_id="nobody"), most=30) == []


@pytest.mark.parametrize("text", ["50%", "a_c", 'quo"te', "back\\slash", "ümlaut"])
def test_a_text_is_found_as_it_is_and_not_as_a_pattern(store, text):
    (here, there) = numbered(2)
    store.append(
        Batch(calls=[replace(here, attributes={"note": f"<{text}>"}), replace(there, attributes={"note": "abc"})])
    )
    assert [call.ts for call in everything(store, Wanted(text=text))] == [here.ts]


def test_a_cursor_of_another_kind_is_refused(store):
    for cursor in ("", "x", "1~2~3", "1~b"):
        with pytest.raises(BadQueryError):
            search(store.read(), Wanted(), 5, cursor)


def test_the_trail_of_a_call_that_is_not_there_is_none(store):
    for ids in (("", ""), ("0" * 32, "0" * 16), ("zz", "zz"), ("é", "é")):
        assert store.trail(*ids) is None


def test_totals_are_the_sums_of_the_points(store):
    store.append(Batch(calls=numbered(200, status="error", latency_ms=100.0)))
    store.refresh_all()
    (totals,) = store.totals(0, 10_000, "hour")
    points = store.points("triage", 0, 10_000, "hour")
    assert totals.calls == sum(point.calls for point in points) == 200
    assert totals.rates["error"] == [200, 200]
    assert store.held("triage", 0, 10_000, "hour") == len(points)
    assert [tuple(s) for s in store.slices("triage")] == [("emea", None, "atlas", "v1")]
