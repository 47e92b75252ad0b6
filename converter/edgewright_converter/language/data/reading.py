"""Files of texts as a Corpus: CSV, TSV, JSON lines, plain text, folders; or "intents:eu", drawn from templates.

kind         a text is                     labels, groups, translations, parts
csv, tsv     a row of the column "text"    columns of the header
jsonl        an object with "text"         its other keys; numbers and true/false are taken as written
text         a line that is not blank      none
folder       a file in a folder            the name of the folder that the file is in (head "label")
             (.txt files only, no folders) none: each line is a text

A column "split" or "part" with train, validation or test says where a text belongs.
"""

import codecs
import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from edgewright_runtime.errors import InputError

from . import intents
from .corpus import Corpus, join

FORMATS = ("csv", "tsv", "jsonl", "text", "folder")
_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "text"}
_PARTS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation"}
_PARTS["test"] = "test"
_PART_COLUMNS = ("split", "part")
_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

_LINE_END = re.compile(r"\r\n|\r|\n")  # str.splitlines ends a line at signs that stand within texts, too

_Row = tuple[int, dict[str, str]]  # line number, non-empty cells by column


def read(
    path: str | Path,
    *,
    text: str = "text",
    labels: Sequence[str] | None = None,
    group: str | None = None,
    target: str | None = None,
    encoding: str = "utf-8",
    format: str | None = None,
) -> Corpus:
    """Read one file or folder, or ``intents:<language>``.

    text, group, target: columns; labels: columns, each a head of its own; None takes "label" where there is one. The
    format comes from the suffix unless it is given. Raises InputError, a sentence with the file and the line.
    """
    if isinstance(path, str) and path.startswith("intents:"):
        return intents.read(path.removeprefix("intents:"))
    path = Path(path)
    kind = _format(path, format)
    if kind == "folder":
        return _read_folder(path, encoding)
    content = _decode(path, encoding)
    if kind == "text":
        lines = tuple(line.strip() for line in _LINE_END.split(content) if line.strip())
        if not lines:
            raise InputError(f"{path} is empty: expected a text in each line.")
        return Corpus(lines, source=str(path))
    columns = _Columns(path, text, labels, group, target)
    rows = _jsonl_rows(content, path, columns) if kind == "jsonl" else _csv_rows(content, path, kind, columns)
    return columns.corpus(rows)


def _format(path: Path, given: str | None) -> str:
    if given is not None and given not in FORMATS:
        raise InputError(f"There is no format {given!r}: choose one of {', '.join(FORMATS)}.")
    if not path.exists():
        raise InputError(f"Data file {path} does not exist: expected {', '.join(_SUFFIXES)}, a folder, or intents:en.")
    if given is not None and (given == "folder") != path.is_dir():
        is_what = "a folder" if path.is_dir() else "no folder"
        raise InputError(f"{path} is {is_what}, but the format is {given!r}: leave out --format, or give another path.")
    kind = given or ("folder" if path.is_dir() else _SUFFIXES.get(path.suffix.lower()))
    if kind is None:
        raise InputError(
            f"Data file {path} is of no known kind: expected {', '.join(_SUFFIXES)}, or say which with --format."
        )
    return kind


def _decode(path: Path, encoding: str) -> str:
    try:
        codec = codecs.lookup(encoding)
        raw = path.read_bytes()
    except LookupError as error:
        raise InputError(f"There is no encoding {encoding!r}: expected utf-8, latin-1, utf-16 or cp1252.") from error
    except OSError as error:
        raise InputError(f"Data file {path} cannot be read: {error.strerror}.") from error
    if not raw.strip():
        raise InputError(f"{path} is empty: expected one text at least.")
    utf8 = codec.name == "utf-8"
    if utf8 and (wide := _BYTE_ORDER_MARKS.get(raw[:2])):
        raise InputError(f"{path} is {wide.upper()}, not UTF-8: give --encoding {wide}, or save it as UTF-8.")
    try:
        content = raw.decode("utf-8-sig" if utf8 else encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        wrong = raw[error.start : error.start + 1].hex()
        raise InputError(
            f"{path}:{line} is no {encoding} text (byte 0x{wrong}): give its encoding (--encoding latin-1, cp1252, "
            "…), or save it as UTF-8."
        ) from error
    except (UnicodeError, TypeError, LookupError) as error:  # codecs that do not make text of bytes, such as rot13
        raise InputError(f"{path} cannot be read as {encoding}: give its encoding, or save it as UTF-8.") from error
    if (at := content.find("\0")) >= 0:
        line = content.count("\n", 0, at) + 1
        raise InputError(
            f"{path}:{line} holds a NUL byte, which no text has: it is another kind of file, in another encoding "
            "(--encoding utf-16?), or damaged."
        )
    return content


class _Columns:
    """Which columns mean what, and a row's cells as the fields of a Corpus."""

    def __init__(
        self, path: Path, text: str, labels: Sequence[str] | None, group: str | None, target: str | None
    ) -> None:
        self.path, self.text, self.group, self.target = path, text, group, target
        self.labels = ("label",) if labels is None else tuple(labels)
        self._optional = labels is None
        self.required = [text, *(() if labels is None else labels), *(name for name in (group, target) if name)]

    def require(self, header: Sequence[str]) -> None:
        """Raises InputError where a column that was asked for is not in the header."""
        for name in self.required:
            if name not in header:
                near = get_close_matches(name, header, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else "name yours with --text, --label, --group, --target."
                raise InputError(
                    f"{self.path}:1: no column is named {name!r}; there are {', '.join(map(repr, header[:12]))}: {hint}"
                )

    def corpus(self, rows: Iterator[_Row]) -> Corpus:
        found = list(rows)
        if not found:
            raise InputError(f"{self.path} has no row: expected one text at least.")
        heads = [
            head for head in self.labels if not self._optional or any(head in cells for _, cells in found)
        ]
        part = next((name for name in _PART_COLUMNS if any(name in cells for _, cells in found)), None)
        return Corpus(
            texts=tuple(cells.get(self.text, "") for _, cells in found),
            labels={head: self._column(found, head) for head in heads},
            groups=self._column(found, self.group) if self.group else None,
            targets=self._column(found, self.target) if self.target else None,
            source=str(self.path),
            parts=self._parts(found, part) if part and part not in (self.text, *heads, self.group) else None,
        )

    def _column(self, rows: list[_Row], name: str) -> tuple[str, ...]:
        for line, cells in rows:
            if name not in cells:
                raise InputError(f"{self.path}:{line}: this row has no {name}: give every row one, or leave it out.")
        return tuple(cells[name] for _, cells in rows)

    def _parts(self, rows: list[_Row], name: str) -> tuple[str, ...]:
        for line, cells in rows:
            if cells.get(name, "train") not in _PARTS:
                raise InputError(
                    f"{self.path}:{line}: {name} is {cells[name]!r}: expected 'train', 'validation' or 'test'."
                )
        return tuple(_PARTS[cells.get(name, "train")] for _, cells in rows)


def _csv_rows(content: str, path: Path, kind: str, columns: _Columns) -> Iterator[_Row]:
    with _long_fields():
        reader = csv.reader(io.StringIO(content, newline=""), delimiter="\t" if kind == "tsv" else ",", strict=True)
        try:
            header = next(reader)
            columns.require(header)
            line = reader.line_num + 1
            for row in reader:
                if row and len(row) != len(header):
                    raise InputError(
                        f"{path}:{line}: this row has {len(row)} cells, the header {len(header)}: put texts that hold "
                        "separators or line breaks into double quotes."
                    )
                if row:
                    yield line, {name: cell for name, cell in zip(header, row, strict=True) if cell}
                line = reader.line_num + 1
        except csv.Error as error:
            raise InputError(
                f"{path}:{reader.line_num} cannot be read as {kind} ({error}): double quotes inside of a text are "
                "written twice."
            ) from error


@contextmanager
def _long_fields() -> Iterator[None]:
    """Texts of any length while this lasts: the csv module refuses more than 131,072 characters by itself."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _jsonl_rows(content: str, path: Path, columns: _Columns) -> Iterator[_Row]:
    header: dict[str, None] = {}
    rows = []
    for line, entry in enumerate(content.split("\n"), 1):
        if not entry.strip():
            continue
        try:
            document = json.loads(entry)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{line} is no JSON ({error}): expected one object in each line.") from error
        if not isinstance(document, dict):
            raise InputError(f"{path}:{line} is no JSON object: expected one in each line, such as {{\"text\": …}}.")
        header |= dict.fromkeys(document)
        rows.append((line, _cells(document, path, line)))
    if rows:
        columns.require(list(header))
    for line, cells in rows:
        if columns.text not in cells:
            raise InputError(f"{path}:{line}: this object has no {columns.text!r}: expected one in each line.")
    yield from rows


def _cells(document: dict[str, Any], path: Path, line: int) -> dict[str, str]:
    """Numbers and true as JSON has them; null, lists and objects are no cells."""
    cells = {}
    for key, value in document.items():
        if isinstance(value, str):
            if "\0" in value:
                raise InputError(f"{path}:{line}: {key} holds a NUL character, which no text has: take it out.")
            cells[key] = value
        elif isinstance(value, bool | int | float):
            cells[key] = json.dumps(value)
    return cells


def _read_folder(path: Path, encoding: str) -> Corpus:
    """Files below folders named as classes: a text each. Files alone: a text in each line."""
    classes = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    files = [(folder.name, file) for folder in classes for file in sorted(folder.glob("*.txt"))]
    if files:
        texts = tuple(_decode(file, encoding).strip() for _, file in files)
        return Corpus(texts, {"label": tuple(label for label, _ in files)}, source=str(path))
    flat = sorted(path.glob("*.txt"))
    if not flat:
        raise InputError(f"{path} holds no .txt file: expected some, or a folder of them for each class.")
    return join([read(file, encoding=encoding) for file in flat], str(path))
