"""``edgewright models``: the zoo, and what of it fits a budget."""

import click

from .common import json_option, print_json, stdout

_UNITS = {"k": 1000, "kb": 1000, "kib": 1024, "m": 1_000_000, "mb": 1_000_000, "mib": 1024 * 1024, "": 1, "b": 1}


def _bytes(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """"50k" → 50,000."""
    if value is None:
        return None
    text = value.strip().lower()
    digits = text.rstrip("bikm")
    try:
        size = round(float(digits) * _UNITS[text[len(digits) :]])
    except (ValueError, KeyError):
        size = 0
    if size < 1:
        raise click.BadParameter(f"{value!r} is no size: expected bytes, or a number such as 50k or 1.5M.")
    return size


@click.command(
    short_help="The models by name, and which fit a budget.",
    epilog="Examples:\n\n\b\n"
    "edgewright models\n"
    "edgewright models --max-bytes 50k --vocabulary 2000 --length 24 --classes 42\n"
    "edgewright models --max-bytes 100k --mode int8-fast --task classify --json",
)
@click.option("--max-bytes", callback=_bytes, metavar="SIZE", help="Of the flatbuffer: 50k, 1.5M.")
@click.option("--mode", default="int8", show_default=True, help="float32, dynamic-int8, int8 or int8-fast.")
@click.option("--task", type=click.Choice(["classify", "generate", "translate", "spot"]), help="What it is for.")
@click.option("--vocabulary", default=4000, show_default=True, type=click.IntRange(1), help="Ids of the tokenizer.")
@click.option("--length", default=24, show_default=True, type=click.IntRange(1), help="Ids of a text.")
@click.option("--classes", default=10, show_default=True, type=click.IntRange(2), help="Of all heads together.")
@json_option
def models(
    max_bytes: int | None, mode: str, task: str | None, vocabulary: int, length: int, classes: int, as_json: bool
) -> None:
    """The models that `edgewright train --model` knows. With --max-bytes: for each depth the largest width that fits.

    The sizes are computed, not measured; a bundle holds the tokenizer besides, about 8 bytes for each word.
    """
    from edgewright_converter.language.zoo.choice import choices

    found = choices(
        task=task, mode=mode, max_bytes=max_bytes, vocabulary=vocabulary, length=length, classes=classes
    )
    if as_json:
        print_json("models", mode=mode, max_bytes=max_bytes, models=[choice.to_dict() for choice in found])
        return
    from rich.table import Table

    table = Table("model", "task", "width", "depth", "parameters", mode, "multiply-adds", "what it is", box=None)
    for column in table.columns[2:7]:
        column.justify = "right"
    for choice in found:
        own = choice.estimate
        table.add_row(
            choice.name,
            choice.task,
            str(choice.width),
            str(choice.depth),
            f"{own.parameters:,}",
            f"{own.bytes[mode]:,}",
            f"{own.multiply_adds:,}",
            choice.summary,
        )
    stdout().print(table)
    if not found:
        click.echo("No model fits: allow more bytes, or a smaller --vocabulary.", err=True)
