"""Ids of one length, windows, decoding as ids come, and the document in the bundle."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.models import words_tokenizer

import edgewright_runtime
from edgewright_runtime.errors import InputError
from edgewright_runtime.text import KINDS, Cleaning, Decoder, Tokenizer
from edgewright_runtime.text.bpe import LETTERS, BytePairs
from edgewright_runtime.text.characters import Characters
from edgewright_runtime.text.hashed import HashedWords
from edgewright_runtime.text.model import Model
from edgewright_runtime.text.tokenizer import WINDOWS_LIMIT
from edgewright_runtime.text.unigram import Unigram
from edgewright_runtime.text.wordpiece import WordPieces
from edgewright_runtime.text.words import Words

SPECIAL = {"pad": 0, "unknown": 1, "begin": 2, "end": 3}
SPELLED = ("[PAD]", "[UNK]", "[BEGIN]", "[END]")
_MERGED = ["th", "the", "Ġthe", "Ã©"]


def _bpe() -> Model:
    vocabulary = (*SPELLED, *LETTERS, *_MERGED)
    ids = {piece: index for index, piece in enumerate(vocabulary)}
    pairs = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("Ã", "©")]
    return BytePairs(vocabulary, SPECIAL, [(ids[left], ids[right]) for left, right in pairs])


MODELS: dict[str, Model] = {
    "words": Words((*SPELLED, "the", "café", "lights"), SPECIAL),
    "characters": Characters((*SPELLED, *"the café"), SPECIAL),
    "bpe": _bpe(),
    "wordpiece": WordPieces((*SPELLED, "the", "light", "##s", "##t", "t", ".", "café"), SPECIAL),
    "unigram": Unigram(
        (*SPELLED, "▁the", "▁", "light", "s", "t", "▁café"), SPECIAL, [0, 0, 0, 0, -2.5, -1, -3, -4, -5, -6]
    ),
    "hashed": HashedWords((*SPELLED, "the", "café"), SPECIAL, 20, (3, 4), 2),
}
TEXT = st.text(st.one_of(st.sampled_from(list("the lights. café\u0301🙂")), st.characters()), max_size=60)
ANY = st.sampled_from(sorted(MODELS))


def test_there_is_a_model_of_each_kind() -> None:
    assert set(MODELS) == set(KINDS)
    assert all(model.kind == kind for kind, model in MODELS.items())


@given(kind=ANY, text=TEXT, length=st.integers(3, 20), truncation=st.sampled_from(["head", "tail", "both"]))
def test_encoded_texts(kind: str, text: str, length: int, truncation: str) -> None:
    tokenizer = Tokenizer(MODELS[kind], length, truncation=truncation)
    ids, row = tokenizer.ids(text), tokenizer.encode(text)
    assert (row.shape, row.dtype) == ((length,), np.int32)
    assert all(0 <= index < tokenizer.size and index not in (0, 2, 3) for index in ids)
    room = length - 2
    if len(ids) <= room:
        kept = ids
    elif truncation == "head":
        kept = ids[:room]
    elif truncation == "tail":
        kept = ids[-room:]
    else:
        kept = ids[: room // 2] + ids[-(room - room // 2) :]
    assert row.tolist() == [2, *kept, 3] + [0] * (room - len(kept))


@given(kind=ANY, text=TEXT, length=st.integers(3, 9), data=st.data())
def test_windows_hold_the_whole_text(kind: str, text: str, length: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, length - 2))
    tokenizer = Tokenizer(MODELS[kind], length, pooling="mean", stride=stride)
    ids, windows, room = tokenizer.ids(text), tokenizer.windows(text), length - 2
    assert windows.dtype == np.int32
    if len(ids) <= room:
        assert windows.tolist() == [tokenizer.encode(text).tolist()]
        return
    starts = [*range(0, len(ids) - room, stride), len(ids) - room]
    assert windows.tolist() == [[2, *ids[start : start + room], 3] for start in starts]
    assert Tokenizer(MODELS[kind], length).windows(text).tolist() == [tokenizer.encode(text).tolist()]


def test_a_very_long_text_has_a_bounded_number_of_windows() -> None:
    tokenizer = Tokenizer(MODELS["characters"], 12, pooling="max")
    windows = tokenizer.windows("the" * 10_000)
    assert windows.shape == (WINDOWS_LIMIT, 12)
    ids = tokenizer.ids("the" * 10_000)
    assert windows[0, 1:-1].tolist() == ids[:10]
    assert windows[-1, 1:-1].tolist() == ids[-10:]


@given(kind=ANY, data=st.data())
def test_decoding_as_ids_come_is_decoding(kind: str, data: st.DataObject) -> None:
    tokenizer = Tokenizer(MODELS[kind], 9)
    ids = data.draw(st.lists(st.integers(0, tokenizer.size - 1), max_size=30))
    decoder = Decoder(tokenizer)
    parts = [decoder.push(index) for index in ids] + [decoder.finish()]
    assert "".join(parts) == tokenizer.decode(ids) == tokenizer.decode(np.array(ids, np.int64))
    assert [decoder.push(index) for index in ids] == parts[:-1]  # what is finished begins anew


@given(text=st.text(max_size=60))
def test_bytes_spell_the_text_again(text: str) -> None:
    tokenizer = Tokenizer(MODELS["bpe"], 9, cleaning=Cleaning(None))
    assert tokenizer.decode(tokenizer.ids(text)) == tokenizer.cleaning.clean(text)


def test_whole_characters_come_out_as_soon_as_they_exist() -> None:
    tokenizer = Tokenizer(MODELS["bpe"], 9)
    decoder = Decoder(tokenizer)
    assert [decoder.push(index) for index in tokenizer.ids("a🙂")] == ["a", "", "", "", "🙂"]
    assert decoder.push(tokenizer.ids("🙂")[0]) == ""
    assert decoder.finish() == "\ufffd"


@pytest.mark.parametrize(
    ("kind", "text", "again"),
    [
        ("words", "The  lights, the café", "lights the café"),
        ("characters", "the café", "the café"),
        ("bpe", "the théé", "the théé"),
        ("wordpiece", "the lights. café", "the lights. café"),
        ("unigram", "the café the", "the café the"),
        ("hashed", "the café x", "the café"),
    ],
)
def test_decoded_texts(kind: str, text: str, again: str) -> None:
    tokenizer = Tokenizer(MODELS[kind], 9)
    assert tokenizer.decode(tokenizer.ids(text)) == again


def test_words_split_as_written() -> None:
    assert list(MODELS["wordpiece"].ids("lights, the tt.")) == [5, 6, 1, 4, 8, 7, 9]
    assert list(MODELS["unigram"].ids("the lightsxyzt")) == [4, 5, 6, 7, 1, 8]
    assert list(MODELS["words"].ids("the x lights")) == [4, 1, 6]


@pytest.mark.parametrize("kind", ["words", "wordpiece", "unigram", "characters"])
def test_no_text_gives_a_special_id(kind: str) -> None:
    assert not {0, 2, 3} & set(Tokenizer(MODELS[kind], 9).ids("[PAD] [BEGIN][END] [UNK]"))


@pytest.mark.parametrize("index", [-1, 10_000])
def test_an_id_out_of_range(index: int) -> None:
    with pytest.raises(InputError, match=f"ids 0 to 6, not {index}"):
        Tokenizer(MODELS["words"], 9).decode([index])


def test_roles() -> None:
    tokenizer = Tokenizer(MODELS["words"], 9)
    assert (tokenizer.pad_id, tokenizer.unknown_id, tokenizer.begin_id, tokenizer.end_id) == (0, 1, 2, 3)
    assert tokenizer.mask_id is None
    assert Tokenizer(MODELS["words"], 9, begin=False).encode("the").tolist() == [4, 3, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("kind", sorted(MODELS))
@pytest.mark.parametrize("text", ["x", "a ", "é\u0301\u0323", "\0", "🙂", " ", "the"])
def test_long_texts_are_only_texts(kind: str, text: str) -> None:
    _read_whole(kind, text, 30_000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(MODELS))
def test_a_megabyte_is_only_text(kind: str) -> None:
    """In linear time: pytest's own limit ends what is not."""
    parts = [text * (200_000 // len(text.encode())) for text in ("x", "a ", "é\u0301\u0323", "🙂", "the café ")]
    _read_whole(kind, "".join(parts), 1_000_000)


def _read_whole(kind: str, text: str, size: int) -> None:
    tokenizer = Tokenizer(MODELS[kind], 16, truncation="tail", pooling="mean")
    rows = tokenizer.windows(text * max(1, size // len(text.encode())))
    assert rows.shape[1] == 16
    assert len(rows) <= WINDOWS_LIMIT


@given(
    kind=ANY, lowercase=st.booleans(), pooling=st.sampled_from([None, "mean", "max"]), stop=st.lists(st.text("ab é"))
)
def test_the_document_is_canonical(kind: str, lowercase: bool, pooling: str | None, stop: list[str]) -> None:
    cleaning = Cleaning(lowercase=lowercase, stop_words=tuple(stop))
    tokenizer = Tokenizer(MODELS[kind], 7, cleaning=cleaning, pooling=pooling, truncation="both")
    cleaning.clean("what a text leaves behind is not written down")
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again.to_json() == tokenizer.to_json()
    assert json.loads(json.dumps(again.facts())) == json.loads(json.dumps(tokenizer.facts()))
    text = "The lights, é café 🙂 x"
    assert again.ids(text) == tokenizer.ids(text)


def _changed(kind: str, change: dict[str, Any]) -> bytes:
    document = json.loads(Tokenizer(MODELS[kind], 8).to_json())
    for path, value in change.items():
        inner = document
        *outer, last = path.split("__")
        for name in outer:
            inner = inner[name]
        if value is ...:
            del inner[last]
        else:
            inner[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("words", {"kind": "pieces"}),
        ("words", {"kind": ["words"]}),
        ("words", {"kind": ...}),
        ("words", {"more": 1}),
        ("words", {"cleaning__normalization": "NFD"}),
        ("words", {"cleaning__lowercase": 1}),
        ("words", {"cleaning__stop_words": "ab"}),
        ("words", {"cleaning__stop_words": [["a"]]}),
        ("words", {"cleaning__more": 1}),
        ("words", {"cleaning": []}),
        *(("words", {"max_length": length}) for length in (0, 2, 65_537, True, 8.0, None)),
        ("words", {"truncation": "middle"}),
        ("words", {"truncation": None}),
        ("words", {"truncation": []}),
        ("words", {"pooling": "sum"}),
        *(("words", {"stride": stride}) for stride in (0, 7, -1, True, 1.0, "1")),
        ("words", {"begin": 1}),
        ("words", {"special": {"pad": 0, "unknown": 1}}),  # yet texts begin and end with them
        ("words", {"special": {"pad": 0, "unknown": 99, "begin": 2, "end": 3}}),
        ("words", {"special": {"unknown": 1, "begin": 2, "end": 3}}),
        ("words", {"special": {"pad": 0, "begin": 2, "end": 3}}),
        ("words", {"special": {"pad": False, "unknown": 1, "begin": 2, "end": 3}}),
        ("words", {"special": [0, 1]}),
        ("words", {"vocabulary": 3}),
        ("words", {"vocabulary": {}}),
        ("words", {"vocabulary": "[PAD] [UNK] [BEGIN] [END] a a"}),
        ("words", {"vocabulary": "[PAD] [UNK] [BEGIN] [END]  a"}),
        ("words", {"vocabulary": ["[PAD]", "[UNK]", "[BEGIN]", "[END]", 3]}),
        ("words", {"vocabulary": ["[PAD]", "[UNK]", "[BEGIN]", "[END]", ["a"]]}),
        ("words", {"vocabulary": "[PAD] [UNK] [BEGIN] [END] " + "a" * 1001}),
        ("words", {"options": {"a": 1}}),
        ("words", {"options": 3}),
        ("bpe", {"options__merges": [4]}),
        ("bpe", {"options__merges": [4, "5"]}),
        ("bpe", {"options__merges": [4, -5]}),
        ("bpe", {"options__merges": [0, 5]}),
        ("bpe", {"options__merges": [4, 4000]}),
        ("bpe", {"options__merges": 4}),
        ("bpe", {"options__merges": [value for index in range(40) for value in (260 + index, 260 + index)]}),
        ("bpe", {"options__prefix": 1}),
        ("bpe", {"options__prefix": ...}),
        ("bpe", {"vocabulary": "[PAD] [UNK] [BEGIN] [END] a b"}),
        ("bpe", {"vocabulary": [1, 2]}),
        ("wordpiece", {"options__clean": 1}),
        ("wordpiece", {"options__more": True}),
        ("unigram", {"options__scores": [0.0]}),
        ("unigram", {"options__scores": "abc"}),
        ("unigram", {"options__scores": [0, 0, 0, 0, 0, 0, 0, 0, 0, "1"]}),
        ("unigram", {"options__scores": [0, 0, 0, 0, 0, 0, 0, 0, 0, 1e400]}),
        ("unigram", {"options__scores": [0, 0, 0, 0, 0, 0, 0, 0, 0, float("nan")]}),
        ("unigram", {"options__prefix": None}),
        ("hashed", {"options__buckets": 0}),
        ("hashed", {"options__buckets": 10**9}),
        ("hashed", {"options__buckets": "3"}),
        ("hashed", {"options__characters": [3]}),
        ("hashed", {"options__characters": [5, 3]}),
        ("hashed", {"options__characters": [1, 100]}),
        ("hashed", {"options__characters": ["a", "b"]}),
        ("hashed", {"options__words": 0}),
    ],
)
def test_a_wrong_document_is_refused(kind: str, change: dict[str, Any]) -> None:
    assert Tokenizer.from_json(_changed(kind, {})).kind == kind
    with pytest.raises(InputError):
        Tokenizer.from_json(_changed(kind, change))


@pytest.mark.parametrize("raw", [b"", b"null", b"[" * 100_000, b"{}", b'{"kind":"words"}', b"\xff"])
def test_what_is_no_document(raw: bytes) -> None:
    with pytest.raises(InputError):
        Tokenizer.from_json(raw)


@given(data=st.binary(max_size=100))
def test_no_bytes_are_anything_but_an_input_error(data: bytes) -> None:
    with pytest.raises(InputError):
        Tokenizer.from_json(data)


def test_only_the_kind_in_use_is_imported() -> None:
    tokenizer = words_tokenizer(["lights"], 4).to_json()
    program = (
        "import sys; from edgewright_runtime.text import Tokenizer; "
        "t = Tokenizer.from_json(sys.stdin.buffer.read()); t.encode('The lights'); "
        "print(*sorted(m.rpartition('.')[2] for m in sys.modules if m.startswith('edgewright_runtime.text.')))"
    )
    root = str(Path(edgewright_runtime.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", program], input=tokenizer, capture_output=True, check=True, env={"PYTHONPATH": root}
    )
    assert run.stdout.decode().split() == ["classes", "cleaning", "decoder", "model", "tables", "tokenizer", "words"]
