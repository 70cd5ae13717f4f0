"""The documentation is a tested contract: commands, links, keys and paths in it are true."""

import re
from pathlib import Path

import click
import pytest

from driftbell.service.cli import cli

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


def help_of(name: str) -> str:
    command = cli.get_command(CONTEXT, name)
    assert command is not None
    with click.Context(command, info_name=name, parent=CONTEXT, max_content_width=100, terminal_width=100) as context:
        return command.get_help(context)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_described_with_its_current_help(name):
    text = (ROOT / "docs" / "commands.md").read_text()
    assert f"## {name}\n" in text
    assert help_of(name) in text, "write it anew with: python -m tests.write_command_docs"


def test_only_commands_that_exist_are_described():
    text = (ROOT / "docs" / "commands.md").read_text()
    assert re.findall(r"^## (\S+)$", text, re.MULTILINE) == COMMANDS


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
