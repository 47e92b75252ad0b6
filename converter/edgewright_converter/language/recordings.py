"""A folder of recordings as data: a folder for each word, in it WAV files.

    words/yes/anna_1.wav   words/yes/ben_1.wav   words/no/anna_1.wav   words/unknown/…   words/silence/…

Whoever speaks is what stands before the first underscore of a file's name (as in "Speech Commands", whose files are
`<speaker>_nohash_<n>.wav`): no speaker is on both sides of a split. Names without one count for themselves.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewright_runtime.audio.wav import RAW_SUFFIXES, read_recording
from edgewright_runtime.errors import InputError
from edgewright_runtime.hashing import sha256_hex

from ..data import Array
from .data import Corpus, read

SUFFIXES = (".wav", *RAW_SUFFIXES)


@dataclass(frozen=True)
class Recordings:
    """corpus: a "text" is the SHA-256 of a recording's samples, so that equal recordings count as equal; samples: by
    that, (n,) int16; paths: the file of each."""

    corpus: Corpus
    samples: Mapping[str, Array]
    paths: Mapping[str, Path]

    def of(self, part: Corpus) -> list[Array]:
        """The recordings of a part of the corpus, in its order."""
        return [self.samples[digest] for digest in part.texts]

    def to_csv(self, part: Corpus) -> bytes:
        """Columns recording, label: what ``read_recordings`` takes, for a part of the corpus."""
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["recording", "label"])
        writer.writerows(
            (self.paths[digest].absolute(), label)
            for digest, label in zip(part.texts, part.labels["label"], strict=True)
        )
        return buffer.getvalue().encode("utf-8", "surrogateescape")


def read_recordings(path: str | Path, rate_hz: int) -> Recordings:
    """Read a folder of folders, or a table with the columns recording (paths, from the table's folder on) and label.

    Raises InputError where there is none, or one is not mono, of 16 bits, that rate, complete.
    """
    path = Path(path)
    files = _in_folder(path) if path.is_dir() or not path.exists() else _in_table(path)
    digests, samples, paths = [], {}, {}
    for _, file in files:
        recording = read_recording(file, rate_hz)
        digest = sha256_hex(np.ascontiguousarray(recording, "<i2").tobytes())
        digests.append(digest)
        samples[digest], paths[digest] = recording, file
    corpus = Corpus(
        texts=tuple(digests),
        labels={"label": tuple(word for word, _ in files)},
        groups=tuple(_speaker(word, file) for word, file in files),
        source=str(path),
    )
    return Recordings(corpus, samples, paths)


def _in_folder(folder: Path) -> list[tuple[str, Path]]:
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}: expected one with a folder of recordings for each word.")
    words = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
    files = [(word.name, file) for word in words for file in sorted(word.iterdir()) if file.suffix.lower() in SUFFIXES]
    if not files:
        raise InputError(f"{folder} holds no recordings: expected a folder for each word, with .wav files in it.")
    return files


def _in_table(path: Path) -> list[tuple[str, Path]]:
    table = read(path, text="recording", labels=("label",))
    return [(label, path.parent / name) for name, label in zip(table.texts, table.labels["label"], strict=True)]


def _speaker(word: str, file: Path) -> str:
    before, underscore, _ = file.stem.partition("_")
    return before if underscore and before else f"{word}/{file.stem}"
