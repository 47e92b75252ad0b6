"""``edgewright check``: the doctor."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import complete_devices, complete_targets, json_option, print_json, progress_bar, stdout

if TYPE_CHECKING:
    from edgewright.check import Report

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}


@click.command(
    short_help="Tell beforehand whether a file will run on a board.",
    epilog="Examples:\n\n\b\n"
    "edgewright check kitchen.ewb --target rpi4\n"
    "edgewright check model.tflite --device kitchen --json\n"
    "edgewright check kitchen.ewb --target rpi-zero2-bullseye --fix --source model.keras -o fixed.ewb\n\n"
    "Exit codes: 0 it will run (warnings and notes may be there), 9 it will not: at least one error was found.",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", shell_complete=complete_targets, help="A board's name or a profile's .toml.")
@click.option("--device", shell_complete=complete_devices, help="A device, as it is now.")
@click.option("--engine", default="auto", show_default=True, help="litert, tflite, or auto: the target's own.")
@click.option("--fix", is_flag=True, help="Convert again for that target, from the source of the bundle.")
@click.option("--source", help="With --fix: the model that the bundle was made of.")
@click.option("--data", help="With --fix: the data that it was calibrated on, where its recipe needs some.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="With --fix: the bundle to write.")
@json_option
def check(
    file: Path,
    target: str | None,
    device: str | None,
    engine: str,
    fix: bool,
    source: str | None,
    data: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Examine FILE, an .ewb or a .tflite, for a target or a device, before anything is sent.

    Without --target and --device it is examined for what the bundle was converted for.
    """
    from edgewright.check import check as examine

    if target is not None and device is not None:
        raise click.UsageError("Give --target or --device, not both.")
    if not fix and (source, data, output) != (None, None, None):
        raise click.UsageError("--source, --data and --output go with --fix.")
    report = examine(file, target=target, device=device, engine=engine)
    fixed = None
    if fix and report.errors:
        from edgewright.repair import repair

        if not as_json:
            print_findings(report)
        with progress_bar() as progress:
            fixed = repair(report, source=source, data=data, output=output, progress=progress)
        report = examine(fixed, target=report.target)
        click.echo(f"Converted again: {fixed}.", err=True)
    if as_json:
        print_json("check", **report.to_dict(), fixed=None if fixed is None else str(fixed))
    else:
        print_findings(report)
        verdict = "will not run" if report.errors else "will run"
        click.echo(f"{report.path} {verdict} on {report.target.name} with {report.target.engine}.")
    if report.errors:
        from edgewright.errors import CheckError

        click.get_current_context().exit(CheckError.exit_code)


def print_findings(report: "Report", notes: bool = True) -> None:
    """The findings, a line or two each, on stdout."""
    from rich.text import Text

    for finding in report.findings:
        if finding.severity == "note" and not notes:
            continue
        line = Text(f"{finding.severity:<8}", _COLOURS[finding.severity])
        line.append(f"{finding.where}: {finding.problem}.", "default")
        stdout().print(line, soft_wrap=True)
        if finding.remedy:
            stdout().print(Text(f"        → {finding.remedy}."), soft_wrap=True)
