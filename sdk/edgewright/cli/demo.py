"""``edgewright demo``: the main job, end to end, on real sentences."""

from pathlib import Path

import click

from .common import complete_devices, json_option, print_json, print_results, progress_bar


@click.command(epilog="Example: edgewright demo --language de")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("edgewright-demo"),
    show_default=True,
    help="The folder to write into.",
)
@click.option("--language", default="en", show_default=True, help="One of the 65 of home-assistant-intents.")
@click.option("--device", shell_complete=complete_devices, help="Default: a local: device inside of the folder.")
@click.option("--seed", default=0, show_default=True, help="For everything that is drawn by chance.")
@json_option
def demo(output: Path, language: str, device: str | None, seed: int, as_json: bool) -> None:
    """Train an intent classifier, convert it three ways, flash, score and time it on a device."""
    from edgewright.demo import demo as run

    with progress_bar() as progress:
        done = run(
            output,
            language=language,
            device=device,
            seed=seed,
            progress=progress,
            tell=lambda sentence: click.echo(sentence, err=True),
        )
    if as_json:
        print_json(
            "demo",
            language=done.language,
            sizes=done.sizes,
            parameters=done.parameters,
            keras_accuracy=done.keras_accuracy,
            device=done.device,
            bundles=[str(bundle) for bundle in done.bundles],
            report=str(done.report),
            results=[result.to_document() for result in done.results],
        )
        return
    print_results(done.results)
    where = device or f"local:{output / 'device'}"
    click.echo(f"\nReport: {done.report}", err=True)
    click.echo(f'Try:    edgewright run {output / "int8.ewb"} {where} --text "…"', err=True)
