"""The demonstration on the beginning of its sample: what it brings is on the page while somebody looks."""

import gzip
import itertools

import requests

from driftbell.service import demo


def test_its_page_is_there_as_long_as_somebody_looks(tmp_path, monkeypatch):
    sample = tmp_path / "traffic.jsonl.gz"
    with gzip.open(demo.SAMPLE, "rt") as whole, gzip.open(sample, "wt") as part:
        part.writelines(itertools.islice(whole, 300))
    monkeypatch.setattr(demo, "SAMPLE", sample)
    seen = {}

    def look(outcome: demo.Outcome, address: str) -> None:
        seen["overview"] = requests.get(address, timeout=10).text
        seen["telemetry"] = requests.get(f"{address}telemetry?range=30d", timeout=10).text
        seen["address"] = address

    demo.Demo(tmp_path / "data", demo.ENDS, lambda *_: None).run(look)
    assert "reply-drafts" in seen["overview"]
    assert "driftbell-sample" in seen["telemetry"]
    assert "Late" not in seen["telemetry"].partition("driftbell itself")[2], "its jobs keep pace with its clock"
    try:
        requests.get(seen["address"], timeout=2)
    except requests.ConnectionError:
        return
    raise AssertionError("it is served although nobody looks any more")
