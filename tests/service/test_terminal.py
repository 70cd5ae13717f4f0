"""What the terminal shows: small lines of numbers, and the overview with the worst first."""

import json
import re

import pytest
from driftbell_process import driftbell
from hypothesis import given
from hypothesis import strategies as st
from page_reader import fill, opened

from driftbell.service.sparkline import BLOCKS, PLAIN, sparkline


@given(st.lists(st.none() | st.floats(-1e300, 1e300)), st.sampled_from(["utf-8", "ascii", "latin-1", "no such"]))
def test_a_line_has_a_character_for_each_value_that_its_terminal_can_show(values, encoding):
    line = sparkline(values, encoding)
    assert len(line) == len(values)
    assert set(line) <= set(BLOCKS if encoding == "utf-8" else PLAIN) | {" "}


def test_a_line_rises_with_its_values_and_has_gaps():
    assert sparkline([0.0, 4.0, None, 8.0]) == "▁▅ █"
    assert sparkline([3.0, 3.0]) == "██"
    assert sparkline([0.0, None]) == "▁ "


@pytest.fixture
def folder(serve, tmp_path):
    running = serve(tmp_path / "data", prices={"atlas": {"input": 10, "output": 100}})
    fill(running)
    opened(running)
    return "--data-dir", tmp_path / "data"


def test_the_overview_is_in_the_terminal_too(folder):
    shown = driftbell("workflows", *folder)
    assert shown.returncode == 0, shown.stderr
    assert "triage" in shown.stdout
    assert "Page" in shown.stdout
    assert "\x1b[" not in shown.stdout, "no colours where nobody sees them"
    (line,) = driftbell("workflows", "--json", *folder).stdout.splitlines()
    told = json.loads(line)
    assert (told["workflow"], told["state"], len(told["incidents"])) == ("triage", "page", 1)
    assert len(told["calls_by_hour"]) == 24
    assert told["figures"]["errors"]["unit"] == "share"


@pytest.mark.parametrize("asked", [{"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}])
def test_who_wants_no_colours_gets_none(folder, asked):
    for command in ("workflows", "incidents"):
        shown = driftbell(command, *folder, **asked)
        assert shown.returncode == 0
        assert not re.search(r"\x1b\[[\d;]*3\d", shown.stdout), "bold may stay, colours go"
