"""``edgewright convert``: a Keras model to a bundle."""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from .check import print_findings
from .common import complete_targets, json_option, print_json, progress_bar, stdout


def _complete_recipes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from edgewright_converter.recipe import builtin_recipes

    return [CompletionItem(name) for name in builtin_recipes() if name.startswith(incomplete)]


def _shapes(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """("tokens=24", "image=96,96,3") → {"tokens": (24,), "image": (96, 96, 3)}, without the batch."""
    shapes = {}
    for value in values:
        name, equals, sizes = value.rpartition("=")
        try:
            shapes[name] = tuple(int(size) for size in sizes.split(","))
        except ValueError:
            equals = ""
        if not equals or not name or min(shapes[name]) < 1:
            raise click.BadParameter(f"{value!r} is not NAME=SIZE or NAME=SIZE,SIZE,… with sizes from 1.")
    return shapes


@click.command(
    short_help="Convert a Keras model to a bundle.",
    epilog="Examples:\n\n\b\n"
    "edgewright convert model.keras -o kitchen.ewb\n"
    "edgewright convert model.keras --data data.npz --recipe int8 --target rpi4 -o kitchen.ewb\n"
    "edgewright convert build.py:model --data train.csv --tokenizer tokenizer.json --labels labels.txt -o intents.ewb",
)
@click.argument("model")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The bundle to write.  [default: NAME.ewb]")
@click.option("--data", help="Samples to calibrate and to check with: .npz, .csv, .tsv, .jsonl, or file.py:function.")
@click.option(
    "--recipe", default="float32", show_default=True, shell_complete=_complete_recipes, help="A name or a TOML file."
)
@click.option(
    "--target", shell_complete=complete_targets, help="The board it is for: rpi4, board.toml.  [default: local]"
)
@click.option("--name", help="The model's name on a device.  [default: the file's name]")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1), help="Samples in one run.")
@click.option(
    "--shape", "shapes", multiple=True, metavar="NAME=SIZE", callback=_shapes, help="Fix an input of any length."
)
@click.option(
    "--labels", type=click.Path(path_type=Path), help="The classes' names: a text file, one in a line, or JSON."
)
@click.option(
    "--tokenizer", type=click.Path(path_type=Path), help="The tokenizer's JSON, for a model that takes sentences."
)
@click.option(
    "--task", help="What it is for: classify, generate, translate, spot, tag, or a JSON file with its options."
)
@click.option(
    "--features", type=click.Path(path_type=Path), help="How recordings become its input: the JSON that train writes."
)
@click.option(
    "--threshold", metavar="P|precision=P", help="Less probable answers are unknown; or as low as gives that precision."
)
@click.option("--validation", help="Data to choose the threshold on.  [default: what train left beside the model]")
@click.option("--unknown", metavar="NAME", help="What an answer below the threshold is called.  [default: unknown]")
@click.option("--trust", is_flag=True, help="Run the Python code that a model file may contain (Lambda layers).")
@click.option("--seed", default=0, show_default=True, help="For everything that is drawn by chance.")
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder that keeps the state of trainings: the same command then goes on where it ended.",
)
@click.option(
    "--timeout", default=1800.0, show_default=True, type=click.FloatRange(1), help="Seconds until it is given up."
)
@json_option
def convert(
    model: str,
    output: Path | None,
    data: str | None,
    recipe: str,
    target: str | None,
    name: str | None,
    batch: int,
    shapes: dict[str, tuple[int, ...]],
    labels: Path | None,
    tokenizer: Path | None,
    task: str | None,
    features: Path | None,
    threshold: str | None,
    validation: str | None,
    unknown: str | None,
    trust: bool,
    seed: int,
    checkpoints: Path | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Convert MODEL (.keras, .h5, a SavedModel folder, or file.py:function) to a bundle.

    What `edgewright train` has left beside the model (its tokenizer, labels, data, task) is taken where nothing else is
    given.
    """
    from edgewright.check import check
    from edgewright_converter.beside import beside
    from edgewright_converter.pipeline import convert as run
    from edgewright_converter.recipe import Recipe

    found = beside(model)
    given = {"data": data, "labels": labels, "tokenizer": tokenizer, "task": task, "features": features}
    taken = {what: path for what in given if given[what] is None and (path := getattr(found, what)) is not None}
    if taken:
        click.echo(f"Beside the model: {', '.join(path.name for path in taken.values())}", err=True)
    if threshold is None and (validation, unknown) != (None, None):
        raise click.UsageError("--validation and --unknown go with --threshold.")
    chosen = None
    with progress_bar() as progress:
        convert_to = partial(
            run,
            model,
            recipe=recipe,
            target=target,
            name=name,
            batch=batch,
            shapes=shapes,
            **{**given, **{what: str(path) for what, path in taken.items()}},
            trust=trust,
            seed=seed,
            checkpoints=checkpoints,
            timeout_s=timeout,
            progress=progress,
        )
        if threshold is None:
            conversion = convert_to(output=output)
        else:
            from edgewright.threshold import convert_with_threshold

            conversion, chosen = convert_with_threshold(
                lambda path: convert_to(output=path), threshold, validation or found.validation, output, unknown
            )
    report = check(conversion.path, target=target or Recipe.load(recipe).target or "local")
    if as_json:
        print_json(
            "convert",
            path=str(conversion.path),
            check=report.to_dict(),
            difference=conversion.difference,
            seconds=conversion.seconds,
            threshold=None if chosen is None else asdict(chosen),
            outcomes=[outcome.to_dict() for outcome in conversion.outcomes],
            manifest=conversion.manifest.to_document(),
        )
        return
    from .tables import outcome_parts

    size_bytes = conversion.path.stat().st_size
    click.echo(f"{conversion.path}: {size_bytes:,} bytes, differs from Keras by {conversion.difference:.2g}")
    if chosen is not None:
        click.echo(f"  {chosen}")
    for outcome in conversion.outcomes:
        for part in outcome_parts(outcome):
            stdout().print(part)
    if isinstance(conversion.edgetpu, str):
        click.echo(f"  {conversion.edgetpu}", err=True)
    elif conversion.edgetpu is not None:
        log = conversion.edgetpu.log
        click.echo(f"  Edge TPU: {log.on_tpu} operations, {log.on_cpu} stay on the CPU")
    print_findings(report, notes=False)
