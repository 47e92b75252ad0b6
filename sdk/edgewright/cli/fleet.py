"""What the commands share that take several devices: a line of progress for each, and one exit code for all."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .common import print_json, stdout

if TYPE_CHECKING:
    from rich.table import Table

    from edgewright.fleet import Outcome
    from edgewright.progress import Progress
    from edgewright.remote import Remote

T = TypeVar("T")


def on_devices(devices: Sequence[str], work: "Callable[[Remote, Progress], T]") -> "list[Outcome[T]]":
    """Do the work on all of them at once. A single device's error is raised: then there is nothing else to tell."""
    from edgewright.fleet import Outcome, side_by_side
    from edgewright.remote import connect

    devices = list(dict.fromkeys(devices))
    with progress_lines(devices) as progress_of:
        if len(devices) == 1:  # in this thread, which Ctrl-C interrupts
            with connect(devices[0]) as remote:
                return [Outcome(devices[0], result=work(remote, progress_of(devices[0])))]
        return side_by_side(devices, lambda remote: work(remote, progress_of(remote.name)))


def show_outcomes(
    kind: str,
    outcomes: "list[Outcome[T]]",
    as_json: bool,
    sentence: Callable[[T], str],
    columns: dict[str, Callable[[T], str]],
) -> None:
    """Print a single device's result as a sentence, several as a table; errors as sentences. Ends the command with the
    exit code of the first device that failed, if one did."""
    results: list[Any] = [outcome.result for outcome in outcomes if outcome.result is not None]
    failures = [(outcome.device, outcome.error) for outcome in outcomes if outcome.error is not None]
    if as_json:
        errors = [{"device": name, "error": type(error).__name__, "message": str(error)} for name, error in failures]
        print_json(kind, reports=[asdict(result) for result in results], failures=errors)
    elif len(outcomes) == 1:
        click.echo(f"{outcomes[0].device}: {sentence(results[0])}")
    else:
        stdout().print(_table(outcomes, columns))
    for name, error in failures:
        message = str(error)
        click.echo(f"edgewright: {message if name in message else f'{name}: {message}'}", err=True)
    if failures:
        click.get_current_context().exit(failures[0][1].exit_code)


def _table(outcomes: "list[Outcome[T]]", columns: dict[str, Callable[[T], str]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table("device", *columns, box=None, pad_edge=False, header_style="dim")
    for outcome in outcomes:
        if outcome.result is None:
            table.add_row(Text(outcome.device), Text(f"failed: {type(outcome.error).__name__}", "red"))
        else:
            table.add_row(Text(outcome.device), *(Text(cell(outcome.result)) for cell in columns.values()))
    return table


@contextmanager
def progress_lines(devices: Sequence[str]) -> "Iterator[Callable[[str], Progress]]":
    """A line on stderr for each device, gone at the end; nothing where stderr is not a terminal."""
    from edgewright.progress import drawing, silent

    if not sys.stderr.isatty():
        yield lambda device: silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.fields[device]}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars, drawing(bars):
        tasks = {device: bars.add_task("connecting", total=1.0, device=_escape(device)) for device in devices}

        def progress_of(device: str) -> "Callable[[str, float], None]":
            return lambda step, fraction: bars.update(tasks[device], description=_escape(step), completed=fraction)

        yield progress_of


def _escape(text: str) -> str:
    """Names and steps come from users and devices: no markup."""
    return text.replace("[", r"\[")
