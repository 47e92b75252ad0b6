"""``edgewright report``: from results to tables and a page."""

from pathlib import Path

import click

from .common import json_option, print_json, print_results


@click.command(
    short_help="Make tables and a page of bench results.",
    epilog="Examples:\n\n\b\nedgewright report results.json\nedgewright report rpi4.json rpi5.json -o report.html",
)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write a report: .html, .md, .csv, or .json.")
@click.option("--title", default="edgewright bench", show_default=True, help="Of the page.")
@json_option
def report(results: tuple[Path, ...], output: Path | None, title: str, as_json: bool) -> None:
    """Show RESULTS, which `edgewright bench -o results.json` wrote: of several devices too. Ratios are to the first."""
    from edgewright.report import check_output, load, save, summary

    if output is not None:
        check_output(output)
    loaded = load(results)
    if output is not None:
        save(output, loaded, title=title)
        click.echo(f"Wrote {output}.", err=True)
    if as_json:
        print_json("report", **summary(loaded))
    elif output is None:
        print_results(loaded, every=True)
