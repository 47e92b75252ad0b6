"""The group of all commands, and the one place where an error becomes a sentence and an exit code."""

import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click

import edgewright
from edgewright.errors import EdgewrightError

COMMANDS = {
    "bench": "edgewright.cli.bench:bench",
    "check": "edgewright.cli.check:check",
    "compare": "edgewright.cli.compare:compare",
    "completion": "edgewright.cli.completion:completion",
    "convert": "edgewright.cli.convert:convert",
    "data": "edgewright.cli.data:data",
    "demo": "edgewright.cli.demo:demo",
    "device": "edgewright.cli.device:device",
    "evaluate": "edgewright.cli.evaluate:evaluate",
    "feedback": "edgewright.cli.feedback:feedback",
    "flash": "edgewright.cli.flash:flash",
    "gc": "edgewright.cli.gc:gc",
    "inspect": "edgewright.cli.inspect:inspect",
    "models": "edgewright.cli.models:models",
    "report": "edgewright.cli.report:report",
    "rollback": "edgewright.cli.rollback:rollback",
    "run": "edgewright.cli.run:run",
    "train": "edgewright.cli.train:train",
}
INTERRUPTED = 130
TERMINATED = 143


class ReaderGoneError(Exception):
    """Nobody reads stdout any more. Not an OSError, for click ends the program with exit code 1 at a broken pipe."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is asked for."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # to notice here, and not while Python shuts down
        except BrokenPipeError as error:
            raise ReaderGoneError from error
        return result

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ok, 2 usage, 3 input, 4 recipe, 5 conversion, 6 bundle, 7 engine, 8 device, 9 check, "
    "10 storage, 130 Ctrl-C; 1 is a defect of edgewright.",
)
@click.version_option(edgewright.__version__, prog_name="edgewright")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Put a Keras model onto a Raspberry Pi or a Coral: convert it, flash it, bench it there.

    \b
    edgewright convert model.keras --data data.npz --recipe int8 -o kitchen.ewb
    edgewright device add kitchen local:
    edgewright device setup kitchen
    edgewright flash kitchen.ewb kitchen
    edgewright bench kitchen.ewb kitchen -o report.html
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The program. Ends with one of the documented exit codes."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str]) -> int:
    as_json, debug = "--json" in arguments, "--debug" in arguments
    try:
        code = cli.main(list(arguments), prog_name="edgewright", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.UsageError as error:
        if as_json:
            _print_error("UsageError", error.format_message())
        error.show()
        return error.exit_code
    except EdgewrightError as error:
        if debug:
            traceback.print_exc()
        return _report(type(error).__name__, str(error), error.exit_code, as_json)
    except (KeyboardInterrupt, click.Abort):
        click.echo("edgewright: interrupted.", err=True)
        return INTERRUPTED
    except ReaderGoneError:
        # The reader has seen enough, as `head` does; stdout must not be flushed into the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _report("EdgewrightError", _defect(error), EdgewrightError.exit_code, as_json)


def _report(kind: str, message: str, code: int, as_json: bool) -> int:
    if as_json:
        _print_error(kind, message)
    click.echo(f"edgewright: {message}", err=True)
    return code


def _print_error(kind: str, message: str) -> None:
    click.echo(json.dumps({"schema": 1, "kind": "error", "error": kind, "message": message}))


def _defect(error: Exception) -> str:
    """A sentence for an error that nobody foresaw; its traceback goes into a file."""
    with tempfile.NamedTemporaryFile("w", prefix="edgewright-", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)))
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"This is a defect of edgewright ({what}): please report it with {file.name}."


def _terminate(signal_number: int, frame: FrameType | None) -> NoReturn:
    """Unwind as on Ctrl-C, so that no process on a device and no half-written file stays behind."""
    sys.exit(TERMINATED)
