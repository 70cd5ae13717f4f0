"""The demonstration on the beginning of its sample: what it brings is on the page while somebody looks."""

import gzip
import itertools
import re
from datetime import UTC, datetime

import requests

from driftbell.alerts.record import Incident
from driftbell.service import demo
from driftbell.service.planted import LATE, PLANTED, missed, unasked


def test_its_page_is_there_as_long_as_somebody_looks(tmp_path, monkeypatch):
    sample = tmp_path / "traffic.jsonl.gz"
    with gzip.open(demo.SAMPLE, "rt") as whole, gzip.open(sample, "wt") as part:
        part.writelines(itertools.islice(whole, 300))
    monkeypatch.setattr(demo, "SAMPLE", sample)
    seen = {}

    def look(outcome: demo.Outcome, address: str) -> None:
        seen["missed"] = [each.what for each in outcome.missed]
        seen["overview"] = requests.get(address, timeout=10).text
        seen["telemetry"] = requests.get(f"{address}telemetry?range=30d", timeout=10).text
        seen["address"] = address

    demo.Demo(tmp_path / "data", demo.ENDS, lambda *_: None).run(look)
    assert seen["missed"] == [each.what for each in PLANTED], "the first 300 records end before the first trouble"
    assert "reply-drafts" in seen["overview"]
    assert "driftbell-sample" in seen["telemetry"]
    assert "Late" not in seen["telemetry"].partition("driftbell itself")[2], "its jobs keep pace with its clock"
    try:
        requests.get(seen["address"], timeout=2)
    except requests.ConnectionError:
        return
    raise AssertionError("it is served although nobody looks any more")


def test_the_troubles_that_are_counted_are_those_that_the_samples_description_lists():
    readme = demo.SAMPLE.with_name("README.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| (.+?) \| (.+?) \| (\d+ Mar \d\d:\d\d) \| (\d+ Mar \d\d:\d\d|end) \|", readme)

    def told(at: float) -> str:
        return "end" if at == demo.ENDS else datetime.fromtimestamp(at, UTC).strftime("%d Mar %H:%M").lstrip("0")

    counted = {(each.what, each.workflow, told(each.since), told(each.until)) for each in PLANTED}
    assert {(what.replace("`", ""), *rest) for what, *rest in rows} == counted


def rang(workflow, family, at):
    return Incident("inc-1", workflow, family, at, at, "page")


def test_an_alarm_is_counted_for_the_trouble_it_tells_of_and_any_other_is_told_as_unasked():
    shift = 5 * demo.WEEK
    stale = PLANTED[-1]
    at = stale.since + shift + 3600
    right = rang(stale.workflow, "retrieval", at)
    wrong = [
        rang("triage", "retrieval", at),
        rang(stale.workflow, "cost", at),
        rang(stale.workflow, "retrieval", stale.since + shift - 3600),
        rang(stale.workflow, "retrieval", stale.until + shift + LATE),
    ]
    assert missed([right, *wrong], shift) == list(PLANTED[:-1])
    assert unasked([right, *wrong], shift) == wrong
