"""docs/commands.md, made from the commands' own help: `python tests/kit/command_docs.py` writes it anew."""

from pathlib import Path

import click

from driftbell.service.cli import CONTEXT, cli

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
INTRODUCTION = """# Commands

Exit codes: 0 success, 1 a failure that is reported, 2 wrong usage. Errors are one line on stderr. `--config` and
`--data-dir` (or `DRIFTBELL_CONFIG` and `DRIFTBELL_DATA_DIR`) say which installation a command speaks of. `make docs`
writes this page from the commands themselves.
"""


def page() -> str:
    """The whole page."""
    root = click.Context(cli, info_name="driftbell", **CONTEXT)
    return INTRODUCTION + "".join(_section(name, root) for name in cli.list_commands(root))


def _section(name: str, root: click.Context) -> str:
    command = cli.get_command(root, name)
    assert command is not None
    with click.Context(command, info_name=name, parent=root, terminal_width=100) as context:
        return f"\n## {name}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
