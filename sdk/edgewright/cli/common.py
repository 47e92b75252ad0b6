"""What the commands share: options, progress bars, printing."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from rich.console import Console

    from edgewright.progress import Progress
    from edgewright_runtime.result import BenchResult

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")


def complete_devices(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The inventory's names, for the shell."""
    from edgewright.devices import list_devices
    from edgewright.errors import EdgewrightError

    try:
        return [CompletionItem(d.name, help=d.uri) for d in list_devices() if d.name.startswith(incomplete)]
    except EdgewrightError:
        return []


def complete_targets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The targets' names, for the shell."""
    from edgewright_converter.targets import TARGETS

    return [CompletionItem(t.name, help=t.board or "") for t in TARGETS.values() if t.name.startswith(incomplete)]


def print_json(kind: str, /, **content: Any) -> None:
    """One document on stdout."""
    click.echo(json.dumps({"schema": 1, "kind": kind, **content}, indent=2))


def stdout() -> "Console":
    """For what a person reads; no colours and no wrapping of tables at 80 columns where it goes into a file."""
    from rich.console import Console

    class StrictConsole(Console):
        def on_broken_pipe(self) -> None:
            raise  # Rich would end the program with exit code 1: that is for the one error boundary to decide

    return StrictConsole(width=None if sys.stdout.isatty() else 160, highlight=False)


def print_results(results: "Sequence[BenchResult]", every: bool = False) -> None:
    """The table on stdout, then how the models compare (every: all other tables too), and on stderr whatever makes the
    measurement doubtful."""
    from edgewright.sections import sections
    from edgewright.steadiness import warnings

    from .tables import bench_table, section_table

    console = stdout()
    console.print(bench_table(results))
    for section in sections(results):
        if every or section.title == "Compared pair by pair":
            console.print(f"\n{section.title}", style="bold", markup=False)
            console.print(section_table(section))
            if section.note:
                console.print(section.note, style="dim", markup=False)
    for warning in warnings(results):
        click.echo(f"Warning: {warning}", err=True)


def judge(check: Callable[[], None], as_json: bool) -> None:
    """A verdict on a result that is shown already: with --json its document stays the only one on stdout."""
    from edgewright.errors import CheckError

    try:
        check()
    except CheckError as error:
        if not as_json:
            raise
        click.echo(f"edgewright: {error}", err=True)
        click.get_current_context().exit(error.exit_code)


@contextmanager
def progress_bar() -> "Iterator[Progress]":
    """One line on stderr, gone at the end; nothing where stderr is not a terminal."""
    from edgewright.progress import drawing, silent

    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars, drawing(bars):
        task = bars.add_task("", total=1.0)

        def show(step: str, fraction: float) -> None:
            # Steps come from devices and file names: no markup.
            bars.update(task, description=step.replace("[", r"\["), completed=fraction)

        yield show
