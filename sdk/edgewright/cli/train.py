"""``edgewright train``: texts to a Keras model, with all that ``convert`` wants beside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from .common import json_option, print_json, progress_bar, stdout

if TYPE_CHECKING:
    from edgewright_converter.language.training import Trained

TOKENIZERS = ("words", "characters", "bpe", "wordpiece", "unigram", "hashed")


def _complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from edgewright_converter.language.zoo import ZOO

    return [CompletionItem(name, help=entry.summary) for name, entry in ZOO.items() if name.startswith(incomplete)]


def _options(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """("kernels=3,4,5", "sharing=albert", "hidden=64") → {"kernels": (3, 4, 5), "sharing": "albert", "hidden": 64}."""
    found: dict[str, Any] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE.")
        parts = [_value(part) for part in text.split(",")]
        found[name] = tuple(parts) if len(parts) > 1 or name == "kernels" else parts[0]
    return found


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _freeze(ctx: click.Context, param: click.Parameter, value: str) -> int:
    if value == "all":
        return -1
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is neither a number of layers nor all.")
    return int(value)


@click.command(
    short_help="Train a model on texts.",
    epilog="Examples:\n\n\b\n"
    "edgewright train sentences.csv --model text-cnn -o intents.keras\n"
    "edgewright train few.csv --model text-cnn --pretrain masked --corpus requests.txt -o intents.keras\n"
    "edgewright train requests.txt --model text-cnn --pretrain masked -o backbone.keras\n"
    "edgewright train few.csv --backbone backbone.keras --freeze 1 --rate-decay 0.8 -o intents.keras\n"
    "edgewright train words/ --model ds-cnn --augment noise=0.5,shift=0.5 -o keywords.keras\n"
    "edgewright train book.txt --model gpt --tokenizer bpe --vocabulary 1000 --length 64 -o book.keras",
)
@click.argument("data", nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .keras file to write.")
@click.option("--model", shell_complete=_complete_models, help="A name of `edgewright models`.  [default: text-cnn]")
@click.option("--width", type=click.IntRange(1), help="Of the model.  [default: the model's own]")
@click.option("--depth", type=click.IntRange(0), help="Of the model.  [default: the model's own]")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", callback=_options, help="More of the model.")
@click.option("--text", default="text", show_default=True, help="The column of the texts.")
@click.option("--label", "labels", multiple=True, metavar="COLUMN", help="A column of labels; several: one head each.")
@click.option("--group", metavar="COLUMN", help="What never parts in a split: a template, a document, a person.")
@click.option("--target", metavar="COLUMN", help="The column of the translations.")
@click.option("--encoding", default="utf-8", show_default=True, help="Of the files.")
@click.option("--format", type=click.Choice(["csv", "tsv", "jsonl", "text", "folder"]), help="Default: by the suffix.")
@click.option("--test", default=0.18, show_default=True, help="The test part's share.")
@click.option("--validation", default=0.1, show_default=True, help="The validation part's share.")
@click.option("--tokenizer", help=f"{', '.join(TOKENIZERS)}, or a JSON file.  [default: words, bpe to generate]")
@click.option(
    "--tokenizer-option",
    "tokenizer_options",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_options,
    help="More of a hashed one: buckets=, characters=3,5, words=2, whole=true, signs=true, stem=5.",
)
@click.option("--vocabulary", type=click.IntRange(2), help="The tokenizer's ids.  [default: 4000 words, 1000 others]")
@click.option("--length", type=click.IntRange(1), help="Ids of a text.  [default: what 98 % need, 128 at most]")
@click.option("--cased/--lowercase", "cased", default=None, help="Whether capitals count.  [default: to generate]")
@click.option("--truncation", type=click.Choice(["head", "tail", "both"]), default="head", show_default=True)
@click.option("--pooling", type=click.Choice(["mean", "max"]), help="Read long texts in windows, and pool the answers.")
@click.option("--epochs", type=click.IntRange(0), help="[default: 4, or as many as 2000 batches take]")
@click.option("--batch", default=64, show_default=True, type=click.IntRange(1), help="Samples of a step.")
@click.option("--learning-rate", type=float, help="The largest of the schedule.  [default: the model's own]")
@click.option("--label-smoothing", type=float, help="[default: 0.1 for classes, 0 for tokens]")
@click.option("--weight-decay", default=0.01, show_default=True)
@click.option("--token-dropout", type=float, help="Share of tokens that become unknown.  [default: 0.1 for classes]")
@click.option("--token-deletion", default=0.0, show_default=True, help="Share of tokens that are left out.")
@click.option("--augment", default="", metavar="NAME=P,…", help="E.g. swap=0.1,delete=0.1,typos=0.05.")
@click.option("--class-weights", is_flag=True, help="Each class counts the same in the loss.")
@click.option("--patience", default=0, show_default=True, help="Stop after so many epochs without a better one.")
@click.option("--pretrain", type=click.Choice(["masked", "causal"]), help="Learn from bare text first.")
@click.option("--corpus", multiple=True, metavar="FILE", help="More texts to pre-train on.")
@click.option("--pretrain-epochs", type=click.IntRange(0), help="[default: 4, or as many as 4000 batches take]")
@click.option("--backbone", type=click.Path(), help="A .keras file whose layers the model begins with.")
@click.option("--freeze", default="0", callback=_freeze, metavar="N|all", help="So many of its layers stay fixed.")
@click.option("--rate-decay", default=1.0, show_default=True, help="A layer's learning rate by the next one's.")
@click.option("--features", type=click.Path(), help="How it hears, a JSON file.  [default: 49 frames of 10 MFCC]")
@click.option("--precision", type=click.Choice(["mixed_float16", "mixed_bfloat16"]), help="To compute in.")
@click.option("--strategy", type=click.Choice(["mirrored", "multiworker"]), help="Of tf.distribute.")
@click.option("--seed", default=0, show_default=True, help="For everything that is drawn by chance.")
@click.option("--resume", is_flag=True, help="Go on where the same training was interrupted.")
@click.option("--timeout", default=86400.0, show_default=True, type=click.FloatRange(1), help="Seconds at most.")
@json_option
def train(
    data: tuple[str, ...],
    output: Path,
    cased: bool | None,
    resume: bool,
    timeout: float,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a model of the zoo on DATA: tables (.csv, .tsv, .jsonl) with the columns text and label, a folder of texts
    for each class, plain text, or intents:LANGUAGE. Several files are joined. A model that hears takes a folder of
    recordings for each word.

    Beside the model lie its tokenizer, labels, data and figures, where `edgewright convert` finds them.
    """
    from edgewright_converter.language.training import Settings
    from edgewright_converter.language.training import train as run
    from edgewright_runtime.text import Cleaning

    settings["labels"] = settings["labels"] or None
    for name in ("pretrain", "precision", "strategy"):
        settings[name] = settings[name] or ""
    cleaning = None if cased is None else Cleaning(lowercase=not cased)
    wanted = Settings(cleaning=cleaning, **settings)
    with progress_bar() as progress:
        trained = run(data, output, wanted, resume=resume, timeout_s=timeout, progress=progress)
    if as_json:
        print_json(
            "train",
            model=str(trained.model),
            files={name: str(path) for name, path in trained.files.items()},
            sizes=trained.sizes,
            notes=list(trained.notes),
            parameters=trained.parameters,
            resumed=trained.resumed,
            transferred=list(trained.transferred),
            pretrained=list(trained.pretrained),
            frozen=list(trained.frozen),
            metrics=trained.metrics,
        )
        return
    _print(trained)


def _print(trained: "Trained") -> None:
    from .train_tables import figures

    click.echo(f"{trained.sizes}.", err=True)
    for note in trained.notes:
        click.echo(f"  {note}", err=True)
    for what, layers in (
        ("Weights of the backbone", trained.transferred),
        ("Pre-trained", trained.pretrained),
        ("Kept as they were", trained.frozen),
    ):
        if layers:
            click.echo(f"  {what}: {', '.join(layers)}.", err=True)
    if trained.resumed:
        click.echo("  Went on where the training was interrupted.", err=True)
    click.echo(f"{trained.model}: {trained.architecture}, {trained.parameters:,} parameters")
    for part in figures(trained.metrics):
        stdout().print(part)
    click.echo(f"Beside it: {', '.join(path.name for path in trained.files.values())}", err=True)
