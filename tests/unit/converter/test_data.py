import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.models import words_tokenizer

from edgewright_converter.data import Dataset, load_data
from edgewright_runtime.errors import InputError

TOKENIZER = words_tokenizer(["lights", "on", "off"], 4)
LABELS = ["off", "on"]


def load(source: Any) -> Dataset:
    return load_data(source, TOKENIZER, LABELS)


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_no_data_is_an_empty_dataset() -> None:
    assert load_data(None, None, None) == Dataset()


def test_npz_with_one_input_and_with_several(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", x_train=np.zeros((5, 3)), y_train=np.arange(5), x_test=np.ones((2, 3)))
    data = load(tmp_path / "one.npz")
    assert data.x_train[""].shape == (5, 3)
    assert data.x_test[""].shape == (2, 3)
    assert data.y_train is not None
    assert data.y_test is None
    np.savez(tmp_path / "two.npz", **{"x_train.a": np.zeros((5, 3)), "x_train.b": np.zeros((5, 1), np.int32)})
    assert {name: x.shape for name, x in load(tmp_path / "two.npz").x_train.items()} == {"a": (5, 3), "b": (5, 1)}


def test_a_dict_of_inputs_is_the_same_as_dotted_names() -> None:
    nested = load({"x_train": {"a": np.zeros((5, 3)), "b": np.ones(5)}})
    dotted = load({"x_train.a": np.zeros((5, 3)), "x_train.b": np.ones(5)})
    assert {name: x.tolist() for name, x in nested.x_train.items()} == {
        name: x.tolist() for name, x in dotted.x_train.items()
    }


def test_sentences_become_ids_and_names_become_numbers() -> None:
    data = load({"x_train": ["Lights on!", "lights OFF"], "y_train": ["on", "off"], "y_test": None})
    assert data.x_train[""].tolist() == [[2, 3, 0, 0], [2, 4, 0, 0]]
    assert data.x_train[""].dtype == np.int32
    assert data.y_train is not None
    assert data.y_train.tolist() == [1, 0]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_tables_of_texts(tmp_path: Path, suffix: str) -> None:
    rows = [("lights, on", "on", "train"), ("lights off", "off", "train"), ('say "on"', "on", "test")]
    if suffix == "jsonl":
        text = "".join(json.dumps(dict(zip(("text", "label", "split"), row, strict=True))) + "\n\n" for row in rows)
    else:
        comma = "," if suffix == "csv" else "\t"
        quoted = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in rows]
        text = "\n".join(comma.join(cells) for cells in [["text", "label", "split"], *quoted])
    data = load(table(tmp_path / f"d.{suffix}", text))
    assert data.x_train[""].tolist() == [[2, 3, 0, 0], [2, 4, 0, 0]]
    assert data.x_test[""].tolist() == [[1, 3, 0, 0]]
    assert data.y_train is not None
    assert data.y_test is not None
    assert (data.y_train.tolist(), data.y_test.tolist()) == ([1, 0], [1])


def test_labels_that_are_numbers_need_no_names(tmp_path: Path) -> None:
    data = load_data(table(tmp_path / "d.csv", "text,label\non,1\noff,0\n"), TOKENIZER, None)
    assert data.y_train is not None
    assert data.y_train.tolist() == [1, 0]


def test_a_table_without_labels_serves_calibration_alone(tmp_path: Path) -> None:
    data = load(table(tmp_path / "d.csv", "\ufefftext\nlights on\n"))
    assert data.y_train is None
    assert data.x_train[""].shape == (1, 4)


def test_a_function_in_a_file_with_its_neighbours_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "beside_c41.py").write_text("import numpy as np\nx = np.ones((3, 2))\n")
    (tmp_path / "data_c41.py").write_text("import beside_c41\ndef load(): return {'x_train': beside_c41.x}\n")
    assert load(f"{tmp_path}/data_c41.py:load").x_train[""].shape == (3, 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", ":1: no column is named 'text'"),
        ("text,label\n", "has no row"),
        ("text,label\non,on\noff,\n", None),
        ("text,label\non,on\noff\n", ":3: this row has 1 cells, the header 2"),
        ("text,split\non,later\n", ":2: split is 'later'"),
        ('text\n"never closed\n', "cannot be read as csv"),
        ("text,label\non,maybe\n", "the label 'maybe'"),
    ],
)
def test_broken_tables(tmp_path: Path, text: str, says: str | None) -> None:
    with pytest.raises(InputError, match=says or "label"):
        load(table(tmp_path / "d.csv", text))


def test_broken_jsonl_and_bytes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"d\.jsonl:1 is no JSON"):
        load(table(tmp_path / "d.jsonl", "{nope"))
    with pytest.raises(InputError, match=r"d\.jsonl:1 is no JSON object"):
        load(table(tmp_path / "d.jsonl", "[1, 2]"))
    (tmp_path / "d.csv").write_bytes(b"text\n\xff\xfe\n")
    with pytest.raises(InputError, match=r"d\.csv:2 is no utf-8 text"):
        load(tmp_path / "d.csv")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"x_trian": np.ones(3)}, "did you mean 'x_train'"),
        ({"inputs": np.ones(3)}, "expected x_train"),
        ({"y_train": np.ones(3)}, "has no samples"),
        ([1, 2, 3], "is a list"),
        ({"x_train": [[1, 2], [3]]}, "x_train is not an array"),
        ({"x_train": np.array([None, {}])}, "dtype object"),
        ({"x_train": np.float32(3)}, "expected an array"),
        ({"x_train": np.ones((2, 2), complex)}, "dtype complex128"),
        ({"x_train": np.ones((2, 2)), "y_train": ["on", "never"]}, "label 'never'"),
    ],
)
def test_broken_dicts(source: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load(source)


def test_texts_need_a_tokenizer_and_names_of_labels_a_list() -> None:
    with pytest.raises(InputError, match="--tokenizer"):
        load_data({"x_train": ["lights on"]}, None, None)
    with pytest.raises(InputError, match="--labels"):
        load_data({"x_train": ["lights on"], "y_train": ["on"]}, TOKENIZER, None)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path / "none.npz")
    with pytest.raises(InputError, match="of no known kind"):
        load(table(tmp_path / "d.txt", "text"))
    with pytest.raises(InputError, match=r"no readable \.npz"):
        load(table(tmp_path / "d.npz", "no zip"))
    np.savez(tmp_path / "objects.npz", x_train=np.array([object()]))
    with pytest.raises(InputError, match=r"no readable \.npz"):
        load(tmp_path / "objects.npz")
    np.savez(tmp_path / "cut.npz", x_train=np.zeros((500, 3)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:4000])
    with pytest.raises(InputError, match=r"no readable \.npz"):
        load(tmp_path / "cut.npz")


def test_functions_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load(f"{tmp_path}/none.py:load")
    table(tmp_path / "empty_c42.py", "load = 3")
    with pytest.raises(InputError, match="no function load"):
        load(f"{tmp_path}/empty_c42.py:load")
