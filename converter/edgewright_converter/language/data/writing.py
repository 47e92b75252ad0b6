"""Parts of a split as files that the readers, and every spreadsheet, take."""

import csv
import io
from pathlib import Path

from edgewright_runtime.errors import storage_errors

from .corpus import Corpus


def to_csv(corpus: Corpus) -> bytes:
    """Columns text, one for each head, and group and target where the corpus has them.

    UTF-8; a lone surrogate becomes "?".
    """
    columns = {"text": corpus.texts, **corpus.labels}
    if corpus.groups is not None:
        columns["group"] = corpus.groups
    if corpus.targets is not None:
        columns["target"] = corpus.targets
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)  # its line ends are \r\n: with \n alone it would leave a \r of a text unquoted
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return buffer.getvalue().encode("utf-8", "replace")


def write_csv(corpus: Corpus, path: Path) -> None:
    """``to_csv`` in a file: all of it or nothing. Raises StorageError."""
    partial = path.with_name(f".{path.name}.partial")
    with storage_errors(f"write {path}"):
        try:
            partial.write_bytes(to_csv(corpus))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
