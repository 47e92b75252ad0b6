"""A folder of recordings as data, and what is no such folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright_converter.language.data import split
from edgewright_converter.language.recordings import read_recordings
from edgewright_converter.language.training.spot import parse_sound_augmentation
from edgewright_runtime.audio.wav import write_wav
from edgewright_runtime.errors import InputError

RATE_HZ = 8000


def _folder(path: Path, speakers: int = 6, words: tuple[str, ...] = ("no", "yes")) -> Path:
    draw = np.random.default_rng(0)
    for word in words:
        (path / word).mkdir(parents=True)
        for speaker in range(speakers):
            for take in range(2):
                sound = draw.integers(-9000, 9000, 400).astype(np.int16)
                write_wav(path / word / f"s{speaker}_{take}.wav", sound, RATE_HZ)
    return path


def test_words_and_speakers(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "words")
    found = read_recordings(folder, RATE_HZ)
    assert found.corpus.class_counts() == {"no": 12, "yes": 12}
    assert set(found.corpus.groups or ()) == {f"s{speaker}" for speaker in range(6)}
    assert [len(samples) for samples in found.of(found.corpus)] == [400] * 24
    first = found.paths[found.corpus.texts[0]]
    assert first == folder / "no" / "s0_0.wav"


def test_no_speaker_is_on_both_sides(tmp_path: Path) -> None:
    found = read_recordings(_folder(tmp_path / "words"), RATE_HZ)
    splits = split(found.corpus, test=0.3, validation=0.2)
    sides = [set(part.groups or ()) for _, part in splits.items()]
    assert all(sides)
    assert not sides[0] & sides[2]
    assert not sides[0] & sides[1]
    assert sum(len(part) for _, part in splits.items()) == 24


def test_equal_recordings_stay_together(tmp_path: Path) -> None:
    for name in ("anna.wav", "berta.wav"):
        (tmp_path / "yes").mkdir(exist_ok=True)
        write_wav(tmp_path / "yes" / name, np.arange(100, dtype=np.int16), RATE_HZ)
    found = read_recordings(tmp_path, RATE_HZ)
    assert found.corpus.texts[0] == found.corpus.texts[1]
    assert found.corpus.groups == ("yes/anna", "yes/berta")


def test_a_part_as_a_table_reads_back(tmp_path: Path) -> None:
    found = read_recordings(_folder(tmp_path / "words"), RATE_HZ)
    part = found.corpus.take([1, 13])
    (tmp_path / "test.csv").write_bytes(found.to_csv(part))
    again = read_recordings(tmp_path / "test.csv", RATE_HZ)
    assert again.corpus.texts == part.texts
    assert again.corpus.labels == part.labels


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda p: None, "There is no folder"),
        (lambda p: p.mkdir(), "holds no recordings: expected a folder for each word"),
        (lambda p: (p / "yes").mkdir(parents=True), "holds no recordings"),
        (lambda p: write_wav(_in(p), np.zeros(9, np.int16), 16_000), "has 16000 samples a second, the model takes"),
        (lambda p: _in(p).write_bytes(b""), "is empty"),
        (lambda p: _in(p).write_bytes(b"RIFF"), "is no WAV file"),
        (lambda p: p.write_text("text,label\na,b\n"), "no column is named 'recording'"),
        (lambda p: p.write_text("recording,label\na.wav,b\n"), r"Cannot read the recording .*a\.wav"),
    ],
)
def test_what_is_no_data(tmp_path: Path, make: Any, sentence: str) -> None:
    make(tmp_path / "data.csv")
    with pytest.raises(InputError, match=sentence):
        read_recordings(tmp_path / "data.csv", RATE_HZ)


def _in(folder: Path) -> Path:
    (folder / "yes").mkdir(parents=True)
    return folder / "yes" / "anna_0.wav"


def test_changes_of_sound() -> None:
    change, masks = parse_sound_augmentation("noise=0.5, shift=1,masks=0.25")
    assert (change.noise, change.shift, change.pitch, masks) == (0.5, 1.0, 0.0, 0.25)
    for wrong in ("swap=0.1", "noise", "noise=2", "noise=x"):
        with pytest.raises(InputError, match="is not NAME=PROBABILITY of sound"):
            parse_sound_augmentation(wrong)
