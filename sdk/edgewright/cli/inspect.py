"""``edgewright inspect``: what is in a bundle or a flatbuffer."""

from pathlib import Path

import click

from .common import json_option, print_json, stdout


@click.command(
    short_help="Show what is in a bundle or a flatbuffer.",
    epilog="Examples:\n\n\b\nedgewright inspect kitchen.ewb\nedgewright inspect model.tflite --tensors --json",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--tensors", is_flag=True, help="List every tensor too.")
@json_option
def inspect(file: Path, tensors: bool, as_json: bool) -> None:
    """Show FILE, an .ewb bundle or a .tflite flatbuffer: operators, runtimes that have them, what the bytes are for."""
    from edgewright.inspect import inspect as look

    report = look(file)
    if as_json:
        print_json("inspect", **report.to_dict())
        return
    from .tables import inspection

    for part in inspection(report, tensors):
        stdout().print(part)
