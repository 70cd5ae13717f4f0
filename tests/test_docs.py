"""The documentation is a tested contract: commands, links, keys and paths in it are true."""

import os
import re
import subprocess
import sys
from pathlib import Path

import api_docs
import click
import command_docs
import pytest
import yaml

from driftbell import monitor
from driftbell.service.cli import cli
from driftbell.service.config import Config

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("service/sample/*.md")]
CONTEXT = click.Context(cli, info_name="driftbell")
COMMANDS = cli.list_commands(CONTEXT)
SOURCES = [
    f for f in ROOT.rglob("*") if f.suffix in {".py", ".md", ".yaml", ".yml", ".toml", ".sh"} or f.name == "Makefile"
]
MACHINE = re.compile(r"(?<![\w.:/])/(work|root|farm)/|\.\./shared")


def own(file: Path) -> bool:
    return not {".venv", ".cache", ".git", ".types", "build"} & set(file.relative_to(ROOT).parts)


def test_every_command_is_described_with_its_current_help():
    assert command_docs.PAGE.read_text() == command_docs.page(), "make docs writes it anew"


def test_every_path_of_the_api_is_described_as_it_is():
    assert api_docs.PAGE.read_text() == api_docs.page(), "make docs writes it anew"


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocs", reason="make site installs MkDocs")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    pages = [*(tmp_path / "site").rglob("*.html"), *(tmp_path / "site").rglob("*.css")]
    assert len(pages) > 20
    loaded = re.compile(
        r"""<(?:script|img|iframe)[^>]+src="?https?:|<link[^>]+rel="?stylesheet[^>]+https?:|url\(["']?https?:"""
    )
    assert not [page.name for page in pages if loaded.search(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    files = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert not [link for link in files if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_driftbell_command_in_an_example_exists(page):
    used = re.findall(r"(?:^|[`$] ?)driftbell ([a-z][a-z-]+)", page.read_text(), re.MULTILINE)
    assert set(used) <= set(COMMANDS)


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def test_nothing_speaks_of_one_machine():
    found = [
        str(f.relative_to(ROOT)) for f in SOURCES if own(f) and f != Path(__file__) and MACHINE.search(f.read_text())
    ]
    assert found == []


def configurations() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "configure.md").read_text(), re.DOTALL)


def test_every_part_of_the_configuration_is_described():
    shown = {key for text in configurations() for key in yaml.safe_load(text)}
    assert shown == set(Config.model_fields)


def test_every_page_is_reached_from_the_index():
    index = (ROOT / "docs" / "index.md").read_text()
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/**/*.md")]
    assert not [page for page in pages if page != "index.md" and f"({page})" not in index]


class Client:
    """Stands where the application's own provider client stands in the example."""

    def __getattr__(self, _name):
        return self

    def __call__(self, **_options):
        return "an answer"


def test_the_four_lines_on_the_front_page_work():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = {"client": Client()}
    exec(blocks[0].replace("monitor.configure(", "dict("), names)
    assert names["triage"](type("Ticket", (), {"country": "de"})) == "an answer"


def test_the_reports_on_the_front_page_exist():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    used = set(re.findall(r"monitor\.(\w+)", "".join(blocks)))
    assert used <= set(monitor.__all__)
