"""``edgewright data``: what is in the texts, and a split that does not leak."""

from pathlib import Path

import click

from .common import json_option, print_json, stdout


@click.command(
    short_help="Report on texts and labels, and split them without leaks.",
    epilog="Examples:\n\n\b\n"
    "edgewright data sentences.csv\n"
    "edgewright data tweets.tsv --text tweet --label mood --group author --split parts/\n"
    "edgewright data train.csv test.csv --tokenizer tokenizer.json\n"
    "edgewright data intents:eu --json",
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--text", default="text", show_default=True, help="The column of the texts.")
@click.option("--label", "labels", multiple=True, metavar="COLUMN", help="A column of labels.  [default: label]")
@click.option("--group", metavar="COLUMN", help="What never parts in a split: a template, a document, a person.")
@click.option("--target", metavar="COLUMN", help="The column of the translations.")
@click.option("--encoding", default="utf-8", show_default=True, help="Of the files.")
@click.option(
    "--format", "kind", type=click.Choice(["csv", "tsv", "jsonl", "text", "folder"]), help="Default: by the suffix."
)
@click.option("--tokenizer", type=click.Path(path_type=Path), help="A tokenizer's JSON: reports on its tokens, too.")
@click.option(
    "--split", "folder", type=click.Path(path_type=Path, file_okay=False), help="Write the parts into a folder."
)
@click.option("--test", default=0.18, show_default=True, help="The test part's share.")
@click.option("--validation", default=0.1, show_default=True, help="The validation part's share.")
@click.option("--seed", default=0, show_default=True, help="Of the split.")
@json_option
def data(
    files: tuple[str, ...],
    text: str,
    labels: tuple[str, ...],
    group: str | None,
    target: str | None,
    encoding: str,
    kind: str | None,
    tokenizer: Path | None,
    folder: Path | None,
    test: float,
    validation: float,
    seed: int,
    as_json: bool,
) -> None:
    """Report on FILE: a table (.csv, .tsv, .jsonl), plain text, a folder of texts for each class, or intents:LANGUAGE.

    Several files are parts of one split, the first the one to train on: what the others repeat of it is told. With
    --split they are put together and dealt out: what says the same, or belongs to one group, stays on one side.
    """
    from edgewright.data import report

    found = report(
        files,
        columns={"text": text, "labels": labels or None, "group": group, "target": target},
        encoding=encoding,
        format=kind,
        tokenizer=tokenizer,
        folder=folder,
        shares=(test, validation),
        seed=seed,
    )
    if as_json:
        print_json("data", **found.to_dict())
        return
    from .data_tables import data_report

    for part in data_report(found):
        stdout().print(part)
    if folder is not None:
        click.echo(f"Written: {', '.join(str(folder / f'{part.name}.csv') for part in found.parts)}", err=True)
