"""The `driftbell` command: exit code 0 on success, 1 on a failure it reports, 2 on wrong usage."""

import importlib
import os
import signal
import sys
from typing import ClassVar, NoReturn

try:
    import click
except ModuleNotFoundError:  # the application side alone is installed
    raise SystemExit("The driftbell command needs the service: pip install 'driftbell[service]'") from None

from driftbell.service.failure import Failure

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Commands(click.Group):
    """Loads the module of a command when it is asked for; the order is that of a day's work."""

    modules: ClassVar[dict[str, str]] = {
        "serve": "serve",
        "demo": "demo",
        "check-config": "check_config",
        "route": "route",
        "doctor": "doctor",
        "replay": "replay",
        "import": "import_history",
        "backtest": "backtest",
        "workflows": "workflows",
        "incidents": "incidents",
        "explain": "explain",
        "budget": "budget",
        "ack": "ack",
        "resolve": "resolve",
        "silence": "silence",
        "summary": "summary",
        "reprice": "reprice",
        "migrate": "migrate",
        "reshard": "reshard",
        "forget-user": "forget_user",
    }

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.modules:
            return None
        module = importlib.import_module(f"driftbell.service.commands.{self.modules[cmd_name]}")
        command: click.Command = module.command
        return command


@click.command(cls=_Commands, context_settings=CONTEXT)
@click.version_option(package_name="driftbell")
def cli() -> None:
    """Watches LLM features in production and rings once, early and for a reason."""


def main() -> None:
    """Run the command line; whatever goes wrong is one line on stderr."""
    for sign in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: what is for the time of the run only is cleared away
        if signal.getsignal(sign) is signal.SIG_DFL:  # nohup's choice stays
            signal.signal(sign, _ended)
    try:
        code = cli.main(prog_name="driftbell", standalone_mode=False)
    except click.UsageError as error:
        context = error.ctx.command_path if error.ctx else "driftbell"
        _fail(2, f"{error.format_message()} See {context} --help")
    except (click.ClickException, Failure) as error:
        _fail(1, error.format_message() if isinstance(error, click.ClickException) else str(error))
    except (click.Abort, KeyboardInterrupt):
        _fail(130, "interrupted")
    except Exception as error:
        if os.environ.get("DRIFTBELL_DEBUG"):
            raise
        text = " ".join(str(error).split()) or "no message"
        _fail(1, f"{type(error).__name__}: {text} (DRIFTBELL_DEBUG=1 shows where)")
    raise SystemExit(code if isinstance(code, int) else 0)


def _ended(sign: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + sign)


def _fail(code: int, text: str) -> NoReturn:
    print(f"error: {text}", file=sys.stderr)
    raise SystemExit(code) from None
