"""``edgewright bench``: measure bundles on a device."""

from pathlib import Path
from typing import Any

import click

from .common import complete_devices, json_option, judge, print_json, print_results, progress_bar


class Processors(click.ParamType[Any]):
    """``2,3``: numbers of processors."""

    name = "numbers"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            return tuple(int(number) for number in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} names no processors: give their numbers, as in 2,3.", param, ctx)


@click.command(
    short_help="Measure bundles on a device.",
    epilog="Examples:\n\n\b\n"
    "edgewright bench kitchen.ewb kitchen\n"
    "edgewright bench float32.ewb int8.ewb kitchen --data test.npz -o report.html\n"
    "edgewright bench int8.ewb kitchen --profile --throughput 4 --strict -o results.json",
)
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("device", shell_complete=complete_devices)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write a report: .html, .md, .csv, or .json (raw samples)."
)
@click.option("--data", help="Score the models on it: .npz, .csv, .tsv, .jsonl, or file.py:function.")
@click.option("--engine", default="auto", show_default=True, help="litert, tflite, or auto.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--cpus", type=Processors(), help="Bind the models to these processors of the device: 2,3.")
@click.option("--min-runs", default=50, show_default=True, type=click.IntRange(1), help="Time at least so many runs,")
@click.option("--min-seconds", default=1.0, show_default=True, type=click.FloatRange(0), help="for at least so long.")
@click.option(
    "--launches", type=click.IntRange(1), help="Processes for each model: 1, or 16 where several are compared."
)
@click.option(
    "--inputs",
    default="golden",
    show_default=True,
    type=click.Choice(["golden", "random", "data"]),
    help="Feed the bundle's golden samples, random ones of their range, or those of --data.",
)
@click.option("--seed", default=0, show_default=True, help="For the order and for random inputs.")
@click.option("--single-stream", is_flag=True, help="Estimate MLPerf's single-stream latency too.")
@click.option("--throughput", default=0, metavar="N", help="Measure with 1 to N threads and 1 to N callers too.")
@click.option("--profile", is_flag=True, help="Estimate where in the graph the time goes, by cutting it.")
@click.option("--energy", is_flag=True, help="Measure the energy of a call, where the device has a counter.")
@click.option("--strict", is_flag=True, help="Exit code 9 where the clock moved or the device throttled.")
@json_option
def bench(
    bundles: tuple[Path, ...],
    device: str,
    output: Path | None,
    strict: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Measure BUNDLES on DEVICE: latency, memory and, with --data, accuracy. Several take turns in random order, and
    are compared pair by pair. Ratios are to the first one."""
    from edgewright.bench import bench as measure
    from edgewright.history import remember
    from edgewright.report import check_output, save
    from edgewright.steadiness import require_steady, silent

    if output is not None:
        check_output(output)
    with progress_bar() as progress:
        results = measure(bundles, device, progress=progress, **asked)
    remember(bundles, results, device)
    if output is not None:
        save(output, results)
    if as_json:
        print_json("bench-list", results=[result.to_document() for result in results])
    else:
        print_results(results)
        if output is not None:
            click.echo(f"Wrote {output}.", err=True)
    if asked["energy"] and not any(result.energy for result in results):
        click.echo("Warning: this device has no energy counter that can be read.", err=True)
    if strict and any(map(silent, results)):
        click.echo("Warning: this device tells neither its clock nor whether it throttles.", err=True)
    if strict:
        judge(lambda: require_steady(results), as_json)
