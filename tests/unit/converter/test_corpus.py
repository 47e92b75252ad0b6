"""Readers of texts: every format, and one sentence for each thing that can be wrong with a file."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_converter.language.data import Corpus, join, read, write_csv
from edgewright_runtime.errors import InputError

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def _file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_table_gives_texts_labels_of_several_heads_groups_and_parts(tmp_path: Path) -> None:
    rows = ('"hi, you",good,a,1,train', '"no,\nnever",bad,b,2,test', "so,bad,a,1,dev")
    table = "\ufefftweet,mood,topic,author,split\n" + "\n".join(rows)
    corpus = read(_file(tmp_path, "t.csv", table), text="tweet", labels=("mood", "topic"), group="author")
    assert corpus.texts == ("hi, you", "no,\nnever", "so")
    assert corpus.labels == {"mood": ("good", "bad", "bad"), "topic": ("a", "b", "a")}
    assert corpus.groups == ("1", "2", "1")
    assert corpus.parts == ("train", "test", "validation")
    assert corpus.class_names("mood") == ("bad", "good")


def test_tsv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    tsv = read(_file(tmp_path, "t.tsv", "text\tlabel\nBai, hi\t1\nez\t2\n"))
    rows = [{"text": "Bai, hi", "label": 1}, {"text": "ez", "label": 2, "note": None}]
    jsonl = read(_file(tmp_path, "t.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n"))
    assert tsv.texts == jsonl.texts == ("Bai, hi", "ez")
    assert tsv.labels == jsonl.labels == {"label": ("1", "2")}


def test_a_label_is_optional_unless_it_is_asked_for(tmp_path: Path) -> None:
    path = _file(tmp_path, "t.csv", "text\nbai\n")
    assert read(path).labels == {}
    with pytest.raises(InputError, match=r"t\.csv:1: no column is named 'label'; there are 'text'"):
        read(path, labels=("label",))


def test_a_line_of_plain_text_ends_at_line_breaks_alone(tmp_path: Path) -> None:
    assert read(_file(tmp_path, "t.txt", "bai\r\n\n ez\u2028baina \rjoan\n")).texts == ("bai", "ez\u2028baina", "joan")


def test_folders_are_classes_and_a_folder_of_files_is_one_text(tmp_path: Path) -> None:
    for name, content in {"ham/1.txt": "hello\nyou", "ham/2.txt": "bye", "spam/1.txt": "win!"}.items():
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        _file(tmp_path / "a", name, content)
    corpus = read(tmp_path / "a")
    assert corpus.texts == ("hello\nyou", "bye", "win!")
    assert corpus.labels == {"label": ("ham", "ham", "spam")}
    (tmp_path / "b").mkdir()
    _file(tmp_path / "b", "1.txt", "x\ny\n")
    _file(tmp_path / "b", "2.txt", "z\n")
    assert read(tmp_path / "b").texts == ("x", "y", "z")


def test_a_text_of_a_megabyte_is_read_from_every_format(tmp_path: Path) -> None:
    text = "kaixo " * 170_000
    assert read(_file(tmp_path, "t.csv", f'text,label\n"{text}",a\n')).texts == (text,)
    assert read(_file(tmp_path, "t.jsonl", json.dumps({"text": text}))).texts == (text,)
    assert read(_file(tmp_path, "t.txt", text)).texts == (text.strip(),)


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("t.csv", b"", {}, r"t\.csv is empty: expected one text"),
        ("t.txt", b" \n\n", {}, r"t\.txt is empty"),
        ("t.csv", b"text,label\n", {}, r"t\.csv has no row"),
        ("t.csv", "text\nça\n".encode("latin-1"), {}, r"t\.csv:2 is no utf-8 text \(byte 0xe7\): give its encoding"),
        ("t.csv", "text\nbai\n".encode("utf-16"), {}, r"is UTF-16, not UTF-8: give --encoding utf-16"),
        ("t.csv", "text\nbai\n".encode("utf-16-le"), {}, r"t\.csv:1 holds a NUL byte"),
        ("t.csv", b"text\nbai\nb\0a\n", {}, r"t\.csv:3 holds a NUL byte"),
        ("t.jsonl", b'{"text": "a\\u0000"}', {}, r"t\.jsonl:1: text holds a NUL character"),
        ("t.csv", b"text\nbai\n", {"encoding": "klingon"}, r"There is no encoding 'klingon'"),
        ("t.csv", b"text\nbai\n", {"encoding": "rot13"}, r"cannot be read as rot13"),
        ("t.csv", b"Text,label\nbai,x\n", {}, r"no column is named 'text'.* did you mean 'Text'\?"),
        ("t.csv", b"text,label\nbai,x\nez\n", {}, r"t\.csv:3: this row has 1 cells, the header 2"),
        ("t.csv", b'text,label\n"bai" so,x\n', {}, r"t\.csv:2 cannot be read as csv"),
        ("t.csv", b'text,label\n"bai\n', {}, r"cannot be read as csv"),
        ("t.csv", b"text,label\nbai,x\nez,\n", {}, r"t\.csv:3: this row has no label"),
        ("t.csv", b"text,split\nbai,train\nez,later\n", {}, r"t\.csv:3: split is 'later'"),
        ("t.jsonl", b'{"text": "a"}\n{"text": 1', {}, r"t\.jsonl:2 is no JSON"),
        ("t.jsonl", b"[1]\n", {}, r"t\.jsonl:1 is no JSON object"),
        ("t.jsonl", b'{"text": "a"}\n{"text": ["b"]}', {}, r"t\.jsonl:2: this object has no 'text'"),
        ("t.pdf", b"%PDF", {}, r"t\.pdf is of no known kind"),
        ("t.csv", b"text\nbai\n", {"format": "xml"}, r"no format 'xml'"),
        ("t.csv", b"text\nbai\n", {"format": "folder"}, r"is no folder, but the format is 'folder'"),
    ],
)
def test_a_bad_file_is_refused_with_a_sentence(
    tmp_path: Path, name: str, content: bytes, options: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(_file(tmp_path, name, content), **options)  # type: ignore[arg-type]


def test_what_is_not_there_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.csv does not exist"):
        read(tmp_path / "nothing.csv")
    with pytest.raises(InputError, match=r"holds no \.txt file"):
        read(tmp_path)


@given(st.lists(st.tuples(_TEXTS, _TEXTS, _TEXTS), min_size=1))
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    texts, labels, groups = zip(*rows, strict=True)
    path = tmp_path_factory.getbasetemp() / "again.csv"
    write_csv(Corpus(texts, {"label": labels}, groups=groups), path)
    corpus = read(path, group="group")
    assert (corpus.texts, corpus.labels, corpus.groups) == (texts, {"label": labels}, groups)


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="data has 1 label for 2 texts"):
        Corpus(("a", "b"), {"label": ("x",)})


def test_class_weights_make_every_class_weigh_the_same() -> None:
    corpus = Corpus(tuple("abcdef"), {"label": ("x", "x", "x", "x", "y", "y")})
    weights = corpus.class_weights()
    assert weights == {"x": 0.75, "y": 1.5}
    assert sum(weights[label] for label in corpus.labels["label"]) == len(corpus)
    with pytest.raises(InputError, match="has the labels label: expected 'mood'"):
        corpus.class_weights("mood")


def test_taking_and_joining_keep_what_is_known() -> None:
    left = Corpus(("a", "b"), {"label": ("x", "y"), "mood": ("1", "2")}, groups=("g", "h"), targets=("A", "B"))
    right = Corpus(("c",), {"label": ("x",)}, groups=("g",))
    both = join([left, right], "both")
    assert both == Corpus(("a", "b", "c"), {"label": ("x", "y", "x")}, groups=("g", "h", "g"), source="both")
    assert left.take([1]) == Corpus(("b",), {"label": ("y",), "mood": ("2",)}, groups=("h",), targets=("B",))
