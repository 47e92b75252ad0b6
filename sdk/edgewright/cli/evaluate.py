"""``edgewright evaluate``: how good a bundle's answers are, in Keras, here, and on devices."""

from pathlib import Path

import click

from .common import complete_devices, json_option, print_json, progress_bar, stdout


@click.command(
    short_help="Score a bundle's answers: in Keras, on this machine, on devices.",
    epilog="Examples:\n\n\b\n"
    "edgewright evaluate kitchen.ewb --data test.csv\n"
    "edgewright evaluate kitchen.ewb --data test.csv --keras model.keras --device kitchen\n"
    "edgewright evaluate kitchen.ewb --data test.jsonl --device kitchen --device attic -o scores.md",
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--data", required=True, help="Labelled samples: .csv, .tsv, .jsonl, .npz, or file.py:function.")
@click.option("--device", "devices", multiple=True, shell_complete=complete_devices, help="Ask it there too.")
@click.option("--keras", help="Ask the Keras model too: .keras, .h5, a SavedModel folder, or file.py:function.")
@click.option("--label", "head", help="The column of the labels, and the output of that name.  [default: label]")
@click.option("--target", help="The column of the translations, of a model that translates.  [default: target]")
@click.option("--engine", default="auto", show_default=True, help="On the devices: litert, tflite, or auto.")
@click.option("--resamples", default=1000, show_default=True, type=click.IntRange(100), help="For the intervals.")
@click.option("--seed", default=0, show_default=True, help="For the intervals.")
@click.option("--trust", is_flag=True, help="Run the Python code that a model file may contain (Lambda layers).")
@click.option("--markdown", is_flag=True, help="Print everything as Markdown.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write everything: .md or .json.")
@json_option
def evaluate(
    bundle: Path,
    data: str,
    devices: tuple[str, ...],
    keras: str | None,
    head: str | None,
    target: str | None,
    engine: str,
    resamples: int,
    seed: int,
    trust: bool,
    markdown: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Score the answers of BUNDLE with 95 % intervals: accuracy, precision, recall, F1, confusion, calibration; of a
    model that generates perplexity and bits per byte of the texts; of one that translates BLEU and chrF.

    Its flatbuffer is asked on this machine and on each --device; what differs from place to place is told.
    """
    from edgewright.evaluate import evaluate as run
    from edgewright.scores import check_output, save, tables, to_markdown

    if as_json and markdown:
        raise click.UsageError("Give --json or --markdown, not both.")
    if output is not None:
        check_output(output)
    with progress_bar() as progress:
        found = run(
            bundle,
            data=data,
            devices=devices,
            keras=keras,
            head=head,
            target=target,
            engine=engine,
            resamples=resamples,
            seed=seed,
            trust=trust,
            progress=progress,
        )
    if output is not None:
        save(output, found)
    if as_json:
        print_json("evaluation", **found.to_dict())
    elif markdown:
        click.echo(to_markdown(found), nl=False)
    else:
        from .tables import section_table

        for section in tables(found):
            if section.title:
                stdout().print(f"\n{section.title}", style="bold", markup=False)
            stdout().print(section_table(section))
            if section.note:
                stdout().print(section.note, style="dim", markup=False)
    for warning in found.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if output is not None:
        click.echo(f"Wrote {output}.", err=True)
