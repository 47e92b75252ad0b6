"""Data that cannot be used, through each command that takes data: a sentence, exit code 3, and nothing is written."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from unit.models import tiny_bundle, tiny_tokenizer

from edgewright.cli.main import cli
from edgewright.errors import InputError
from edgewright_runtime.audio.features import Features
from edgewright_runtime.audio.wav import write_wav

_CHILD = pytest.mark.slow  # each starts a process of its own to read its data in
FILES = {
    "latin-1": ("text,label\nzurück,weather\nda,lights_on\n".encode("latin-1"), r"no utf-8 text \(byte 0xfc\)"),
    "utf-16": ("text,label\nda,weather\n".encode("utf-16"), "is UTF-16, not UTF-8: give --encoding utf-16"),
    "empty": (b"", "is empty: expected one text at least"),
    "blank": (b"\n \n\n", "is empty: expected one text at least"),
    "header alone": (b"text,label\n", "has no row: expected one text at least"),
    "NUL": (b"text,label\na\0b,weather\nc,lights_on\n", r":2 holds a NUL byte, which no text has"),
    "another column": (b"sentence,label\na,weather\n", r":1: no column is named 'text'; there are 'sentence', 'label'"),
    "a row too short": (b"text,label\na\nb,weather\n", ":2: this row has 1 cells, the header 2"),
    "missing": (None, "does not exist"),
}


def _call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)])


def _refused(result: Result, sentence: str) -> None:
    assert isinstance(result.exception, InputError), result.output
    assert re.search(sentence, str(result.exception)), result.exception
    assert "\n" not in str(result.exception)
    assert str(result.exception).endswith(".")


def _written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "command", ["data", "evaluate", pytest.param("train", marks=_CHILD), pytest.param("convert", marks=_CHILD)]
)
def test_files_that_are_no_data(tmp_path: Path, command: str, name: str) -> None:
    content, sentence = FILES[name]
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content)
    bundle = tiny_bundle(tmp_path / "tiny.ewb")
    (tmp_path / "build.py").write_text("def make():\n    raise AssertionError\n")
    (tmp_path / "tokenizer.json").write_bytes(tiny_tokenizer())
    before = _written(tmp_path)
    model = ("--tokenizer", tmp_path / "tokenizer.json", "-o", tmp_path / "out.ewb")
    calls: dict[str, tuple[str | Path, ...]] = {
        "data": ("data", path),
        "evaluate": ("evaluate", bundle, "--data", path),
        "train": ("train", path, "-o", tmp_path / "out.keras"),
        "convert": ("convert", f"{tmp_path}/build.py:make", "--recipe", "int8", "--data", path, *model),
    }
    _refused(_call(*calls[command]), sentence)
    assert _written(tmp_path) == before


@_CHILD
def test_one_class_and_labels_of_one_side_cannot_be_learned(tmp_path: Path) -> None:
    path, output = tmp_path / "bad.csv", tmp_path / "out.keras"
    path.write_text("text,label\n" + "".join(f"text {n},weather\n" for n in range(20)))
    _refused(_call("train", path, "-o", output), "Every training text of .* has the label 'weather'.*two classes at")
    rows = [f"text {n},{label},train\n" for n in range(9) for label in ("weather", "lights_on")]
    path.write_text("text,label,split\n" + "".join(rows) + "last,lights_off,test\n")
    _refused(_call("train", path, "-o", output), "No training text of .* has the label lights_off, which others have")
    path.write_text("text,label,split\nlast,lights_off,test\n")
    _refused(_call("train", path, "-o", output), "leaves no text to train on")
    assert _written(tmp_path) == {"bad.csv"}


def test_the_report_on_the_data_tells_it_without_an_error(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("text,label,split\na,weather,train\nb,lights_on,train\nc,lights_off,test\n")
    result = _call("data", path, "--json")
    assert result.exit_code == 0, result.output
    assert "lights_off" in json.dumps(json.loads(result.stdout))


def test_a_text_of_a_megabyte_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("text,label\n" + "weather " * 130_000 + ",weather\noff,lights_off\n")
    result = _call("evaluate", tiny_bundle(tmp_path / "tiny.ewb"), "--data", path, "--json")
    assert result.exit_code == 0, result.output
    (place,) = json.loads(result.stdout)["places"]
    assert place["accuracy"]["value"] == 1.0
    assert _call("data", path).exit_code == 0


@_CHILD
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("rate", "has 8000 samples a second, the model takes 16000: convert it"),
        ("truncated", r"is truncated: it has \d+ bytes, expected 32000 bytes of samples"),
        ("empty", "is empty: give a .wav"),
        ("text", "is no WAV file"),
        ("none", "holds no recordings: expected a folder for each word"),
    ],
)
def test_recordings_that_are_none(tmp_path: Path, damage: str, sentence: str) -> None:
    folder, path = tmp_path / "words", tmp_path / "words" / "yes" / "anna_1.wav"
    path.parent.mkdir(parents=True)
    write_wav(path, np.zeros(16_000, np.int16), 8000 if damage == "rate" else 16_000)
    whole = path.read_bytes()
    if damage == "none":
        path.unlink()
    elif damage != "rate":
        path.write_bytes({"truncated": whole[:-100], "empty": b"", "text": b"these are words, no sound"}[damage])
    _refused(_call("train", folder, "--model", "ds-cnn", "-o", tmp_path / "out.keras"), sentence)
    assert _written(tmp_path) == {"words"}


@_CHILD
def test_features_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    path = tmp_path / "features.json"
    asked = ("train", tmp_path / "words", "--model", "ds-cnn", "-o", tmp_path / "out.keras", "--features", path)
    _refused(_call(*asked), "cannot be read")
    path.write_bytes(Features().to_json().replace(b"640", b"641"))
    _refused(_call(*asked), "even window")
