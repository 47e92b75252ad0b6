"""``python -m edgewright_runtime COMMAND``: one JSON document on stdout, whatever happens.

Success: {"schema": 1, "kind": COMMAND, …}, exit code 0. Failure: {"schema": 1, "kind": "error", "error": the class's
name, "message": a sentence or two} and the class's exit code; "UsageError", 2, where the arguments are wrong. Ctrl-C:
130, and no document. stderr stays empty but for --progress (JSON lines: done, total, what) and --debug (tracebacks, the
engine's own chatter).
"""

import argparse
import gc
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Optional

from . import commands
from .errors import EdgewrightError, EngineError, StorageError

SCHEMA = 1


class UsageError(EdgewrightError):
    """The arguments are not those of a command."""

    exit_code = 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}: see `{self.prog} --help`.")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Only the parser of the command at hand is made complete: all of them take 5 ms, the model itself much less."""
    parser = _Parser(prog="edgewright_runtime", description="Verify, run and measure models on this device.")
    chosen = argv[0] if argv and argv[0] in _COMMANDS else None
    subparsers = parser.add_subparsers(dest="kind", required=True, metavar="COMMAND", prog=parser.prog)
    for kind, (text, add_arguments) in _COMMANDS.items():
        if chosen in (kind, None):
            subparser = subparsers.add_parser(kind, help=text, description=text, allow_abbrev=False)
            subparser.add_argument("--debug", action="store_true", help="tracebacks, the engine's chatter on stderr")
            subparser.set_defaults(command=getattr(commands, kind.replace("-", "_")))
            add_arguments(subparser)
    return parser.parse_args(argv)


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--home", type=Path, help="the device's folder")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", help="an .ewb file, a release folder, or with --home the name of a model")
    _add_engine(parser)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--home", type=Path, help="the device's folder")
    parser.add_argument("--engine", default="auto", help="auto, litert, tflite or edgetpu")
    parser.add_argument("--threads", type=int, default=1)


def _add_verify(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--budget", action="store_true", help="measure against the bundle's budget too")


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    question = parser.add_mutually_exclusive_group(required=True)
    question.add_argument("--text", help="what to classify, to translate or to go on from; - for a text on stdin")
    question.add_argument("--sound", help="a recording to find keywords in, - for one that comes on stdin")
    question.add_argument("--inputs", type=Path, help="an .npz with one array for each input's name")
    parser.add_argument("--top", type=int, default=5, help="how many labels")
    parser.add_argument("--raw", action="store_true", help="the recording on stdin has no WAV header")
    parser.add_argument("--stream", action="store_true", help="tell each keyword or token on stderr as it comes")
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--temperature", type=float, help="0: always the most probable token")
    parser.add_argument("--top-k", type=int, help="draw from so many of the most probable")
    parser.add_argument("--top-p", type=float, help="draw from those that have this probability together")
    parser.add_argument("--stop", action="append", default=[], help="a text at which the answer ends")
    parser.add_argument("--seed", type=int, help="of the draws")
    parser.add_argument("--beams", type=int, help="translations that are followed side by side")
    parser.add_argument("--length-penalty", type=float)
    parser.add_argument("--prompt-cache", type=Path, help="a folder that keeps what the model makes of prompts")


def _add_predict(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--samples", type=Path, required=True, help="an .npz, see predict.py")
    parser.add_argument("--answers", type=Path, required=True, help="the .npz to write")
    parser.add_argument("--progress", action="store_true", help="JSON lines on stderr")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", help="as for run; several take turns in random order")
    _add_engine(parser)
    parser.add_argument("--cpus", type=_numbers, help="bind each model to these processors: 2,3")
    parser.add_argument("--min-runs", type=int, default=50)
    parser.add_argument("--min-seconds", type=float, default=1.0)
    parser.add_argument("--launches", type=int, help="processes for each model: 1, or 16 where several are compared")
    parser.add_argument("--inputs", default="golden", help="golden, random or data")
    parser.add_argument("--seed", type=int, default=0, help="of the order and of random inputs")
    parser.add_argument("--single-stream", action="store_true", help="as many runs as MLPerf's estimate takes")
    parser.add_argument("--throughput", type=int, default=0, help="with up to so many threads and callers")
    parser.add_argument("--profile", action="store_true", help="estimate where in the graph the time goes")
    parser.add_argument("--energy", action="store_true", help="where the board has a counter for it")
    parser.add_argument(
        "--data", type=Path, action="append", default=[], help="an .npz with x.<input name> or texts, and labels y"
    )
    parser.add_argument("--progress", action="store_true", help="JSON lines on stderr")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _add_home(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--home", type=Path, required=True, help="the device's folder")


def _add_change(parser: argparse.ArgumentParser) -> None:
    _add_home(parser)
    parser.add_argument("--host", default="", help="who asks, for others to know whom they wait for")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds, where another one changes the store")
    parser.add_argument("--progress", action="store_true", help="JSON lines on stderr")


def _add_flash(parser: argparse.ArgumentParser) -> None:
    _add_change(parser)
    parser.add_argument("--engine", default="auto", help="auto, litert, tflite or edgetpu")


def _add_rollback(parser: argparse.ArgumentParser) -> None:
    _add_flash(parser)
    parser.add_argument("name")


def _add_gc(parser: argparse.ArgumentParser) -> None:
    _add_change(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and leave it")


def _add_feedback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["on", "off", "status", "read", "clear"])
    parser.add_argument("model", nargs="?", help="a model's name; on and off need one")
    _add_home(parser)
    parser.add_argument("--texts", action="store_true", help="note the texts too")
    parser.add_argument("--below", type=float, help="note answers less probable than this")
    parser.add_argument("--max-kib", type=float, default=256, help="of the log")


_COMMANDS = {
    "info": ("what this board is, what is installed", _add_info),
    "verify": ("hash every file, run the golden samples", _add_verify),
    "run": ("answer one question", _add_run),
    "predict": ("answer many samples, into a file", _add_predict),
    "feedback": ("the log of uncertain answers: on, off, status, read, clear", _add_feedback),
    "bench": ("measure start, latency, memory and, with data, the score", _add_bench),
    "store-flash": ("install what is asked for on stdin (request.py), check it and use it", _add_flash),
    "store-install": ("assemble the release asked for on stdin, without using it", _add_change),
    "store-rollback": ("check the previous release and use it again", _add_rollback),
    "store-gc": ("delete what no current or previous release needs", _add_gc),
    "store-list": ("all models and their releases", _add_home),
}


def main(argv: Optional[list[str]] = None) -> int:
    """The process's entry: run one command with only its document on stdout. Returns the exit code."""
    gc.disable()  # a process of one answer: collecting would only slow its imports, by 10 ms of 110
    arguments = sys.argv[1:] if argv is None else argv
    if "--debug" not in arguments:
        _silence_native_stderr()
    return execute(arguments)


def execute(argv: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    try:
        arguments = _parse(argv)
        document = {"schema": SCHEMA, "kind": arguments.kind, **arguments.command(arguments)}
        return _print(document, 0)
    except KeyboardInterrupt:
        return 130
    except EdgewrightError as error:
        return _print(_failure(type(error).__name__, str(error)), error.exit_code)
    except MemoryError:
        return _print(_failure("EdgewrightError", "The memory of this device is used up: use a smaller model."), 1)
    except Exception as error:
        if "--debug" in argv:
            from traceback import print_exc

            print_exc()
        message = f"A defect of edgewright: {type(error).__name__}: {error}. Run with --debug and report what it shows."
        return _print(_failure("EdgewrightError", message), 1)


def _failure(error: str, message: str) -> dict[str, Any]:
    return {"schema": SCHEMA, "kind": "error", "error": error, "message": message}


def _print(document: dict[str, Any], exit_code: int) -> int:
    try:
        text = json.dumps(document, allow_nan=False)
    except ValueError:
        raise EngineError("The model's answer holds NaN or infinity, which JSON has no word for.") from None
    try:
        print(text, flush=True)
    except OSError:  # nobody reads any more, or the disk it is redirected to is full; the exit would try once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return exit_code or StorageError.exit_code
    return exit_code


def _silence_native_stderr() -> None:
    """Engines write to file descriptor 2 past Python: let that go nowhere, and keep our own way out."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


if __name__ == "__main__":
    sys.exit(main())
