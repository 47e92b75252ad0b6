"""Report on the user's texts, and split them into files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .folders import make_folder

if TYPE_CHECKING:
    from edgewright_converter.language.data import DataReport


def report(
    files: Sequence[str | Path],
    *,
    columns: Mapping[str, Any] | None = None,
    encoding: str = "utf-8",
    format: str | None = None,
    tokenizer: Path | None = None,
    folder: Path | None = None,
    shares: tuple[float, float] = (0.18, 0.1),
    seed: int = 0,
) -> "DataReport":
    """Several files are parts of one split, named by their stems; with ``folder`` all are joined, split, and written
    there as train.csv, validation.csv and test.csv (a part without a text is not).

    columns: keywords of ``read``. shares: of the test and the validation part. Raises InputError and StorageError.
    """
    from edgewright_converter.language.data import describe, join, read, split, write_csv
    from edgewright_converter.language.tokenization import read_tokenizer

    corpora = [read(file, encoding=encoding, format=format, **(columns or {})) for file in files]
    encoder = None if tokenizer is None else read_tokenizer(tokenizer)
    if folder is not None:
        test, validation = shares
        splits = split(join(corpora), test=test, validation=validation, seed=seed)
        found = describe(splits, encoder)
        make_folder(folder)
        for name, part in splits.items():
            if len(part):
                write_csv(part, folder / f"{name}.csv")
        return found
    if len(corpora) > 1:
        names = [Path(file).stem for file in files]
        if len(set(names)) < len(names):
            names = [str(file) for file in files]
        return describe(dict(zip(names, corpora, strict=True)), encoder)
    (corpus,) = corpora
    if corpus.parts is not None:
        return describe(split(corpus, validation=0), encoder)
    return describe(corpus, encoder)
