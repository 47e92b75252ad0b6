"""Which words may stand for a word: WordNet's files, MyThes' thesauri (25 languages), or an embedding's vectors."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError

Lexicon = Callable[[str], Sequence[str]]  # a word in lower case → words for it, best first; none where it is unknown
_PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
NEIGHBOURS = 5


def read_synonyms(path: Path) -> Lexicon:
    """path: a folder with WordNet's index.noun, data.noun, …, or a th_*.dat of MyThes. Raises InputError."""
    try:
        if path.is_dir():
            table = _wordnet(path)
        elif path.suffix == ".dat":
            table = _mythes(path)
        else:
            raise InputError(
                f"{path} is no thesaurus: expected a folder with WordNet's data.noun, or a th_*.dat of MyThes."
            )
    except OSError as error:
        raise InputError(f"The thesaurus {path} cannot be read: {error.strerror}.") from error
    except (ValueError, IndexError, LookupError) as error:
        raise InputError(f"The thesaurus {path} is damaged: fetch it again.") from error
    return lambda word: table.get(word, ())


def _wordnet(folder: Path) -> dict[str, list[str]]:
    """The words of a word's most frequent meaning as each part of speech; no names or abbreviations, for those of
    short words ("an", "Associate in Nursing") are never meant. The format: WordNet's manual, wndb(5WN)."""
    table: dict[str, dict[str, None]] = defaultdict(dict)
    for part in _PARTS_OF_SPEECH:
        meanings = {}
        for line in _lines(folder / f"data.{part}", "utf-8"):
            fields = line.split(" ")
            count = int(fields[3], 16)
            meanings[fields[0]] = [fields[4 + 2 * n].partition("(")[0].replace("_", " ") for n in range(count)]
        for line in _lines(folder / f"index.{part}", "utf-8"):
            fields = line.split()
            # lemma, part, count of meanings, of pointers, the pointers, two counts, then the meanings by frequency
            first = fields[6 + int(fields[3])]
            lemma = fields[0].replace("_", " ")
            table[lemma] |= {word: None for word in meanings[first] if word.islower() and word != lemma}
    return {word: list(found) for word, found in table.items() if found}


def _mythes(path: Path) -> dict[str, list[str]]:
    """The words of the first meaning that has some. "(generic term)" and such tell of other relations."""
    with path.open("rb") as file:
        encoding = file.readline().decode("ascii").strip()
    lines = _lines(path, encoding)
    table: dict[str, list[str]] = {}
    for line in lines:
        word, count = line.rsplit("|", 1)
        for _ in range(int(count)):
            found = next(lines).split("|")[1:]
            plain = [other for other in found if not other.endswith((")", "...")) and other.lower() != word.lower()]
            if plain:
                table.setdefault(word.lower(), plain)
    return table


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """Without what is before the entries: WordNet's licence begins with blanks, MyThes' first line is the encoding."""
    with path.open(encoding=encoding) as file:
        for number, line in enumerate(file):
            if line.strip() and not line.startswith("  ") and not (number == 0 and "|" not in line and path.suffix):
                yield line.rstrip("\r\n")


def read_embedding(path: Path) -> Lexicon:
    """path: an .npz with words (n,) of text and vectors (n, size), as ``embedding`` takes them. Raises InputError."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return embedding([str(word) for word in archive["words"]], archive["vectors"])
    except OSError as error:
        raise InputError(f"The embedding {path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError) as error:
        raise InputError(f"The embedding {path} is no .npz with the arrays words and vectors.") from error


def embedding(vocabulary: Sequence[str], vectors: "np.ndarray[Any, Any]") -> Lexicon:
    """The nearest words by cosine, in lower case. vectors: (words, size), such as the rows of an Embedding layer."""
    if vectors.ndim != 2 or len(vectors) != len(vocabulary):
        raise InputError(
            f"The embedding has vectors of shape {vectors.shape} for {len(vocabulary):,} words: expected as many."
        )
    units = vectors.astype(np.float32)
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-12)
    places = {word.lower(): place for place, word in enumerate(vocabulary)}
    known: dict[str, list[str]] = {}

    def nearest(word: str) -> Sequence[str]:
        if word not in places:
            return ()
        if word not in known:
            near = np.argsort(-(units @ units[places[word]]), kind="stable")
            known[word] = [vocabulary[at] for at in near[: NEIGHBOURS + 1] if at != places[word]][:NEIGHBOURS]
        return known[word]

    return nearest
