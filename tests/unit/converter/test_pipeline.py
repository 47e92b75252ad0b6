"""What is refused before a child is started: nothing here imports TensorFlow."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from unit.models import tiny_model, tiny_tokenizer

from edgewright_converter.errors import RecipeError
from edgewright_converter.load import kind_of
from edgewright_converter.pipeline import convert
from edgewright_runtime.errors import EdgewrightError, InputError, StorageError


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "code.py").write_text("def make(): ...")
    return f"{tmp_path}/code.py:make"


def refuse(kind: type[EdgewrightError], says: str, model: Any, **options: Any) -> None:
    with pytest.raises(kind, match=says) as caught:
        convert(model, **options)
    assert type(caught.value) is kind


def test_options_that_cannot_be(model: str, tmp_path: Path) -> None:
    refuse(RecipeError, "Unknown recipe 'int9'", model, recipe="int9")
    refuse(RecipeError, "Unknown target 'rpi9'", model, target="rpi9")
    refuse(InputError, "expected 1 or more", model, batch=0)
    refuse(InputError, "give some .--data., or use dynamic-int8", model, recipe="int8")
    refuse(InputError, "name '../x' is not usable", model, name="../x")
    refuse(InputError, "is a dict: expected a path", {"no": "model"})


def test_a_recipe_for_a_target_that_does_not_exist(model: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('target = "rpi9"')
    refuse(RecipeError, r"r\.toml:1: Unknown target", model, recipe=tmp_path / "r.toml")


def test_outputs_that_cannot_be_written(model: str, tmp_path: Path) -> None:
    refuse(StorageError, "is a folder", model, output=tmp_path)
    refuse(StorageError, "does not exist", model, output=tmp_path / "none" / "x.ewb")


def test_labels_that_are_no_labels(model: str, tmp_path: Path) -> None:
    path = tmp_path / "labels"
    refuse(InputError, "cannot be read", model, labels=path)
    path.write_text('["a", 3]')
    refuse(InputError, "not a list of names", model, labels=path)
    path.write_text('["a", ')
    refuse(InputError, "expected one label a line", model, labels=path)
    path.write_text("a\nb\na\n")
    refuse(InputError, "'a' is listed twice", model, labels=path)
    path.write_text("")
    refuse(InputError, "not a list of names", model, labels=path)


def test_tokenizers_that_are_none(model: str, tmp_path: Path) -> None:
    refuse(InputError, "tokenizer file .* cannot be read", model, tokenizer=tmp_path / "none.json")
    document = json.loads(tiny_tokenizer())
    document["vocabulary"] = 3
    (tmp_path / "t.json").write_text(json.dumps(document))
    with pytest.raises(InputError):
        convert(model, tokenizer=tmp_path / "t.json")


def test_models_that_are_none(tmp_path: Path) -> None:
    refuse(InputError, "does not exist", tmp_path / "none.keras")
    refuse(InputError, "does not exist", f"{tmp_path}/none.py:make")
    refuse(InputError, "no SavedModel", tmp_path)
    for name, content, says in [
        ("a.keras", b"nothing", "no model that edgewright knows"),
        ("b.tflite", tiny_model(), "is a flatbuffer already"),
        ("c.h5", b"", "no model that edgewright knows"),
    ]:
        (tmp_path / name).write_bytes(content)
        refuse(InputError, says, tmp_path / name)
    with zipfile.ZipFile(tmp_path / "d.keras", "w") as archive:
        archive.writestr("other.json", "{}")
    refuse(InputError, "no model that edgewright knows", tmp_path / "d.keras")


def test_kinds_are_told_by_content(tmp_path: Path, model: str) -> None:
    assert kind_of(model) == "function"
    with zipfile.ZipFile(tmp_path / "renamed", "w") as archive:
        archive.writestr("config.json", "{}")
    assert kind_of(tmp_path / "renamed") == "keras"
    (tmp_path / "old").write_bytes(b"\x89HDF\r\n\x1a\n...")
    assert kind_of(tmp_path / "old") == "h5"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "saved_model.pb").touch()
    assert kind_of(tmp_path / "folder") == "savedmodel"
