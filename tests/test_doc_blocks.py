"""Every block of the documentation is executed: commands run, configurations load, programs do what they say."""

import json
import re
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import requests
import workload
import yaml
from click.testing import CliRunner
from running_service import CALL, NOW, calls, services

from driftbell import monitor
from driftbell.alerts import history
from driftbell.alerts.proof import sample_incident
from driftbell.collectors.records import parse_record
from driftbell.service.cli import CONTEXT, cli
from driftbell.service.config import load_config

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)
KINDS = {"sh", "yaml", "python", "json", "text"}
PYTHON_ELSEWHERE = ("docs/instrument.md",)
"""Pages whose programs run against the stand-in of the providers (tests/monitor/providers)."""
ONLY_PARSED = {"serve", "demo", "doctor"}
"""Commands that run for long or look at the machine: their arguments are checked, and they have tests of their own."""
USER = "418a76bd742851f7"
SAMPLE = sample_incident({"workflow": "triage", "segment": "de", "owner": "ana"}, NOW)


def blocks(*kinds):
    """``(page, line, info, body)`` of every fenced block."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            kind, _, more = match["info"].strip().partition(" ")
            if not kinds or kind in kinds:
                line = text.count("\n", 0, match.start()) + 1
                body = "".join(part[len(match["indent"]) :] for part in match["body"].splitlines(keepends=True))
                found.append(pytest.param(kind, more, body, id=f"{page.relative_to(ROOT)}:{line}"))
    return found


@pytest.mark.parametrize(("kind", "more", "body"), blocks())
def test_every_block_says_what_it_is(kind, more, body):
    assert kind in KINDS, "sh is run, yaml and json are loaded, python is run, text is output"
    assert body.strip()


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """A running service with a call, an incident and a week behind it, and the files that examples name."""
    folder = tmp_path_factory.mktemp("docs")
    with services(folder) as start:
        running = start(folder / "data")
        running.send(CALL, *calls(3), replace(CALL, workflow="letters", user_id=USER))
        with running.service.store.write() as tx:
            history.save(tx, SAMPLE)
        lines = [json.dumps(workload.fields(r)) for hour in workload.hours(NOW - 90_000, 3) for r in hour]
        (folder / "history.jsonl").write_text("\n".join(lines))
        (folder / "series.csv").write_text(
            "timestamp,value\n" + "".join(f"{NOW + 300 * i},{i % 7}\n" for i in range(60))
        )
        (folder / "prices.json").write_text('{"atlas": {"input": 1, "output": 2}}')
        (folder / "driftbell.yaml").write_text("public_prices: false\n")
        yield SimpleNamespace(folder=folder, running=running)


def commands(body):
    """The commands of a block: comments taken away, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", body)
    return [line for line in (re.split(r"(?:^|\s)#\s", line)[0].strip() for line in joined.splitlines()) if line]


@pytest.mark.parametrize(("kind", "more", "body"), blocks("sh"))
def test_every_command_of_an_example_works(kind, more, body, installation, monkeypatch):
    monkeypatch.chdir(installation.folder)
    for line in commands(body):
        words = shlex.split(line)
        run = RUNNERS.get(words[0])
        assert run is not None, f"no way to check {words[0]!r}"
        run(words[1:], installation)


def _driftbell(words, installation):
    files = dict.fromkeys(("FILE", "calls.jsonl", "history.jsonl.gz"), "history.jsonl")
    known = {**files, "ID": SAMPLE.id, "FILE.csv": "series.csv", "HASH": USER}
    given = [known.get(word, word) for word in words]
    if given[0] in ONLY_PARSED or "--send" in given:
        root = click.Context(cli, **CONTEXT)  # a command keeps the help option of the first context it meets
        command = cli.get_command(root, given[0])
        assert command is not None
        command.make_context(given[0], [word for word in given[1:] if word != "--send-test"], parent=root)
        return
    store = {"import": "imported", "replay": "replayed"}.get(given[0])
    folder = installation.folder / (store or "data")
    environment = {"DRIFTBELL_DATA_DIR": str(folder), "COLUMNS": "100"}
    if given[0] == "replay":
        environment = {"COLUMNS": "100"}
    if given[0] in ("ack", "resolve"):  # it is there for the next example, too
        with installation.running.service.store.write() as tx:
            history.save(tx, SAMPLE)
    done = CliRunner().invoke(cli, given, env=environment)
    assert done.exit_code == 0, (given, done.output, done.exception)


def _curl(words, installation):
    """The few options of curl that examples use."""
    method, body, headers, url = "GET", None, {}, None
    rest = iter(words)
    for word in rest:
        if word in ("--json", "-d"):
            method, body = "POST", next(rest)
            headers.setdefault("Content-Type", "application/json")
        elif word == "-H":
            name, _, value = next(rest).partition(":")
            headers[name] = value.strip()
        elif word == "-X":
            method = next(rest)
        elif word in ("-s", "-f", "-fsS"):
            continue
        else:
            assert url is None, f"curl {word} is not known here"
            url = word
    path = re.sub(r"^(http://)?(localhost|127\.0\.0\.1):4318", installation.running.url, url).replace("ID", SAMPLE.id)
    answer = requests.request(method, path, data=body, headers=headers, timeout=10)
    assert answer.ok, (url, answer.text)


def _pip(words, _installation):
    assert words[0] == "install"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for named in re.findall(r"(?:^|\s)(?:driftbell|\.)\[([\w,]+)\]", " ".join(words[1:])):
        assert set(named.split(",")) <= set(extras)


def _make(words, _installation):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(words) <= set(targets)


def _file_of_ours(words, _installation):
    assert (ROOT / words[0]).exists(), words[0]


def _nothing(_words, _installation):
    """A program of others, whose arguments are its own matter."""


RUNNERS = {
    "driftbell": _driftbell,
    "curl": _curl,
    "pip": _pip,
    "make": _make,
    "python": _file_of_ours,
    "otel-config/build-collector": _nothing,
    **dict.fromkeys(("git", "cd", "export", "sqlite3", "cp", "systemctl", "docker", "kubectl"), _nothing),
}


@pytest.mark.parametrize(("kind", "more", "body"), blocks("yaml"))
def test_every_configuration_loads(kind, more, body, tmp_path):
    if more:  # a configuration of another program, which is named
        assert more in {"prometheus", "collector", "compose", "kubernetes"}
        assert yaml.safe_load(body)
        return
    file = tmp_path / "example.yaml"
    file.write_text(body)
    load_config(file)


@pytest.mark.parametrize(("kind", "more", "body"), blocks("json"))
def test_every_record_can_be_read(kind, more, body):
    for line in body.splitlines():
        assert parse_record(line).ts


def programs():
    """The programs of each page, one after the other: later ones go on from earlier ones."""
    pages = {}
    for block in blocks("python"):
        page = block.id.rpartition(":")[0]
        if not page.endswith(PYTHON_ELSEWHERE):
            pages.setdefault(page, []).append(block.values[2])
    return [pytest.param(bodies, id=page) for page, bodies in pages.items()]


@pytest.mark.parametrize("bodies", programs())
def test_every_program_runs(bodies, monkeypatch, tmp_path):
    """Without a service beside it; names that an example leaves open stand for anything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(monitor, "configure", lambda **_options: None)
    names = {"client": Anything(), "found": [Anything()], "__name__": "example"}
    for body in bodies:
        exec(body, names)


class Anything:
    """Stands for what an example leaves open: a client, a document."""

    def __getattr__(self, _name):
        return self

    def __call__(self, *_arguments, **_options):
        return "an answer"
