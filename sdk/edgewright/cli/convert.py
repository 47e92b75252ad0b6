"""``edgewright convert``: a Keras model to a bundle."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from .common import json_option, print_json, progress_bar, stdout


def _complete_recipes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from edgewright_converter.recipe import builtin_recipes

    return [CompletionItem(name) for name in builtin_recipes() if name.startswith(incomplete)]


def _complete_targets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from edgewright_converter.targets import TARGETS

    return [CompletionItem(name) for name in TARGETS if name.startswith(incomplete)]


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
@click.option("--target", shell_complete=_complete_targets, help="The board it is for, e.g. rpi4.  [default: local]")
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
    trust: bool,
    seed: int,
    checkpoints: Path | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Convert MODEL (.keras, .h5, a SavedModel folder, or file.py:function) to a bundle."""
    from edgewright_converter.pipeline import convert as run

    with progress_bar() as progress:
        conversion = run(
            model,
            data=data,
            recipe=recipe,
            target=target,
            output=output,
            name=name,
            batch=batch,
            shapes=shapes,
            labels=labels,
            tokenizer=tokenizer,
            trust=trust,
            seed=seed,
            checkpoints=checkpoints,
            timeout_s=timeout,
            progress=progress,
        )
    if as_json:
        print_json(
            "convert",
            path=str(conversion.path),
            difference=conversion.difference,
            seconds=conversion.seconds,
            outcomes=[outcome.to_dict() for outcome in conversion.outcomes],
            manifest=conversion.manifest.to_document(),
        )
        return
    from .tables import outcome_parts

    size_bytes = conversion.path.stat().st_size
    click.echo(f"{conversion.path}: {size_bytes:,} bytes, differs from Keras by {conversion.difference:.2g}")
    for outcome in conversion.outcomes:
        for part in outcome_parts(outcome):
            stdout().print(part)
