"""``edgewright bench``: measure bundles on a device."""

from pathlib import Path

import click

from .common import complete_devices, json_option, print_json, print_results, progress_bar


@click.command(
    short_help="Measure bundles on a device.",
    epilog="Examples:\n\n\b\n"
    "edgewright bench kitchen.ewb kitchen\n"
    "edgewright bench float32.ewb int8.ewb kitchen --data test.npz -o report.html",
)
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("device", shell_complete=complete_devices)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write a report: .html, .md, or .json (raw samples)."
)
@click.option("--data", help="Score the models on it: .npz, .csv, .tsv, .jsonl, or file.py:function.")
@click.option("--engine", default="auto", show_default=True, help="litert, tflite, or auto.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--min-runs", default=50, show_default=True, type=click.IntRange(1), help="Time at least so many runs,")
@click.option("--min-seconds", default=1.0, show_default=True, type=click.FloatRange(0), help="for at least so long.")
@json_option
def bench(
    bundles: tuple[Path, ...],
    device: str,
    output: Path | None,
    data: str | None,
    engine: str,
    threads: int,
    min_runs: int,
    min_seconds: float,
    as_json: bool,
) -> None:
    """Measure BUNDLES on DEVICE: latency, memory and, with --data, accuracy. Ratios are to the first one."""
    from edgewright.bench import bench as measure
    from edgewright.history import remember
    from edgewright.report import check_output, save

    if output is not None:
        check_output(output)
    with progress_bar() as progress:
        results = measure(
            bundles,
            device,
            data=data,
            engine=engine,
            threads=threads,
            min_runs=min_runs,
            min_seconds=min_seconds,
            progress=progress,
        )
    remember(bundles, results, device)
    if output is not None:
        save(output, results, device=device)
    if as_json:
        print_json("bench-list", results=[result.to_document() for result in results])
    else:
        print_results(results)
        if output is not None:
            click.echo(f"Wrote {output}.", err=True)
