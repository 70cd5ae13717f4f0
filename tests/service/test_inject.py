"""Trouble is put into one's own history, and it is told whether and when that was found."""

import json
from dataclasses import replace

import pytest
from driftbell_process import driftbell

from driftbell.collectors.call import Call, Judgement, Source
from driftbell.collectors.records import Record
from driftbell.service.config import Config
from driftbell.service.failure import Failure
from driftbell.service.inject import KINDS, Injector, parse_injection
from driftbell.service.replay import inject, replay
from tests.detectors.traffic import DAY, MONDAY, calls

BEGIN, END = MONDAY, MONDAY + 10 * DAY
CALL = Call(
    ts=MONDAY + 7 * DAY + 7000,
    workflow="claims",
    segment="north",
    risk_tier="high",
    input_tokens=100,
    output_tokens=20,
    usage_source="provider",
    cost_usd=0.01,
    latency_ms=500.0,
    refused=False,
    format_ok=True,
    sources=(Source("a", 0.8, 3.0),),
    citations=1,
)
RECORD = Record(
    CALL.ts,
    CALL,
    (Judgement(CALL.ts, "claims", override="accepted", review_ms=9000.0, score=0.9, evaluation="ok"),),
    None,
)


def injector(text: str) -> Injector:
    return Injector(parse_injection(text).placed(BEGIN, END))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_changes_what_it_says_and_nothing_before_its_onset(kind: str) -> None:
    made = injector(f"{kind}={1 if KINDS[kind].share else 2}@at=7")
    changed = [made.record(RECORD) for _ in range(40)]
    costs = {made.priced(CALL).cost_usd}
    assert any(one != RECORD for one in changed) or costs != {CALL.cost_usd}
    early = RECORD._replace(ts=MONDAY + 6 * DAY, call=replace(CALL, ts=MONDAY + 6 * DAY))
    assert made.record(early) == early
    assert made.priced(early.call) == early.call


def test_a_ramp_grows_day_by_day_from_nothing() -> None:
    made = injector("token_ramp=0.1@at=7")
    tokens = [made.record(RECORD._replace(ts=MONDAY + (7 + d) * DAY)).call.input_tokens for d in (0, 1, 2)]
    assert tokens == [100, 110, 121]


def test_only_what_is_named_is_changed() -> None:
    for text in ("refusals=1@segment=south,at=7", "refusals=1@workflow=triage*,at=7", "refusals=1@tier=low,at=7"):
        assert injector(text).record(RECORD) == RECORD
    assert injector("refusals=1@segment=nor*,tier=high,at=7").record(RECORD) != RECORD


def test_the_same_text_makes_the_same_choices() -> None:
    first, second = injector("refusals=0.5@at=7"), injector("refusals=0.5@at=7")
    assert [first.record(RECORD) for _ in range(50)] == [second.record(RECORD) for _ in range(50)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cost_stepp=2", "there are cost_step"),
        ("cost_step=dear", "'dear' is no number"),
        ("cost_step=-1", "a number above 0"),
        ("refusals=2", "a share between 0 and 1"),
        ("refusals@where=x", "after @ write workflow"),
        ("refusals@for=long", "30s, 15m"),
        ("refusals@at=tomorrow", "days from the beginning"),
    ],
)
def test_a_slip_is_told_with_what_may_be_written(text: str, complaint: str) -> None:
    with pytest.raises(Failure, match=complaint):
        parse_injection(text)


@pytest.mark.parametrize("at", ["11", "2026-04-01", "2025-01-01"])
def test_an_onset_outside_the_history_is_refused(at: str) -> None:
    with pytest.raises(Failure, match="the history lasts"):
        parse_injection(f"refusals@at={at}").placed(BEGIN, END)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory):
    file = tmp_path_factory.mktemp("history") / "history.jsonl"
    with file.open("w") as lines:
        for call in calls(8, 25, 1):
            record = {
                name: getattr(call, name)
                for name in (
                    "ts",
                    "workflow",
                    "segment",
                    "model",
                    "status",
                    "latency_ms",
                    "input_tokens",
                    "output_tokens",
                    "user_id",
                )
            }
            lines.write(json.dumps(record) + "\n")
    return file


def test_it_is_told_whether_and_when_it_would_have_been_found(file) -> None:
    config = Config.model_validate({"prices": {"atlas": {"input": 3, "output": 15}}})
    untouched = replay(file, config, lambda _: None, lambda _: None)
    assert untouched.lines == []
    (found,) = inject(file, config, parse_injection("error_burst=0.5"), untouched, lambda _: None)
    assert found.workflow == "claims"
    assert 0 < found.delay < 3600
    assert "failed calls" in found.title
    (dearer,) = inject(file, config, parse_injection("cost_step=2"), untouched, lambda _: None)
    assert "cost per call" in dearer.title
    with pytest.raises(Failure, match="no such workflow: claims"):
        inject(file, config, parse_injection("refusals@workflow=x"), untouched, lambda _: None)


def test_the_command_prints_the_untouched_rate_and_the_delay(file) -> None:
    ended = driftbell("replay", file, "--inject", "error_burst=0.5@for=4h", "--inject", "quality_drop@at=7.9")
    assert ended.returncode == 0, ended.stderr
    assert "0.00 per workflow and week" in ended.stdout
    assert "claims: found after" in ended.stdout
    assert "claims: not found" in ended.stdout
    refused = driftbell("replay", file, "--inject", "nonsense")
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
