"""``edgewright data`` through the program: the table, JSON, a split's files, and what it refuses."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = [(f"turn on lamp {'abcdefghijklmnopqrst'[n]}", "on") for n in range(20)]
ROWS += [(f"turn it off in room {'abcdefghijklmnopqrst'[n]}", "off") for n in range(20)]


def _edgewright(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgewright", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "home.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *ROWS])
    return path


def test_a_report_is_a_table_for_people_and_json_for_programs(table: Path) -> None:
    shown = _edgewright("data", table)
    assert shown.returncode == 0, shown.stderr
    assert "label: 2 classes, evenness 1.000" in shown.stdout
    document = json.loads(_edgewright("data", table, "--json").stdout)
    assert document["kind"] == "data"
    assert document["parts"][0]["texts"] == 40


def test_a_split_is_written_and_its_parts_are_found_clean(table: Path, tmp_path: Path) -> None:
    done = _edgewright("data", table, "--split", tmp_path / "parts", "--test", "0.25", "--json")
    assert done.returncode == 0, done.stderr
    assert [part["texts"] for part in json.loads(done.stdout)["parts"]] == [26, 4, 10]
    files = [tmp_path / "parts" / f"{name}.csv" for name in ("train", "validation", "test")]
    again = json.loads(_edgewright("data", *files, "--json").stdout)
    assert [part["name"] for part in again["parts"]] == ["train", "validation", "test"]
    assert set(again["shared_exact"].values()) == set(again["shared_near"].values()) == {0}


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (b"", [], "is empty: expected one text at least"),
        ("text\nça\n".encode("latin-1"), [], "is no utf-8 text (byte 0xe7)"),
        (b"text\nb\0a\n", [], "holds a NUL byte"),
        (b"text,label\nhi,a\n", ["--text", "tweet"], "no column is named 'tweet'"),
        (b"text,label\nhi,a\n", ["--split", "parts", "--test", "1.5"], "must be from 0 to below 1 together"),
        (b"text,label\nhi,a\n", ["--tokenizer", "nowhere.json"], "The tokenizer nowhere.json cannot be read"),
    ],
)
def test_a_wrong_file_is_one_sentence_and_exit_code_3(
    tmp_path: Path, content: bytes, options: list[str], says: str
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    done = _edgewright("data", tmp_path / "t.csv", *options)
    assert done.returncode == 3
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not Path("parts").exists()
