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
@click.option("--edgetpu", is_flag=True, help="Show which operations an Edge TPU takes, and why not the others.")
@json_option
def inspect(file: Path, tensors: bool, edgetpu: bool, as_json: bool) -> None:
    """Show FILE, an .ewb bundle or a .tflite flatbuffer: operators, runtimes that have them, what the bytes are for."""
    from edgewright.inspect import inspect as look

    report = look(file)
    if as_json:
        print_json("inspect", **report.to_dict(), **({"edgetpu": report.edgetpu()} if edgetpu else {}))
        return
    from .tables import edgetpu_table, inspection

    for part in inspection(report, tensors):
        stdout().print(part)
    if edgetpu:
        for name, placed in report.edgetpu().items():
            stdout().print(edgetpu_table(name, placed))
