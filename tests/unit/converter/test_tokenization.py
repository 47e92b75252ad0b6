"""Tokenizers against the library that learned them: the same ids for any text."""

import json
import subprocess
import sys
import unicodedata
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright_converter.language.tokenization import from_huggingface, stop_words, to_library, train_tokenizer
from edgewright_runtime.errors import InputError
from edgewright_runtime.text import KINDS, Cleaning, Tokenizer
from edgewright_runtime.text.bert_tables import ACCENTS, CONTROL, PUNCTUATION
from edgewright_runtime.text.classes import Ranges, class_of, is_space
from edgewright_runtime.text.normalization import lower, normalize

tokenizers = pytest.importorskip("tokenizers", reason="needs the extra 'language'")

SENTENCES = [
    "Turn on the lights in the kitchen, please!",
    "turn off the lights. It's 21.5°C outside, isn't it?",
    "Schalte das Licht in der Küche an; mach's sofort.",
    "ലൈറ്റ് ഓണാക്കൂ അടുക്കളയിലെ ലൈറ്റ് ഓഫാക്കൂ",
    "打开厨房的灯 关灯 कृपया पानी गरम करो",
    "הדלק את האור במטבח שָׁלוֹם العربية أضئ المصباح",
    "🙂👩\u200d👩\u200d👧 🏳️\u200d🌈 e\u0301 ﬁ ½ x² naïve NAÏVE ΟΔΟΣ İstanbul",
]
CORPUS = SENTENCES * 3
# Up to the planes that hold nothing but ideographs, and the one of invisible characters.
ALL = [chr(code) for code in (*range(0xD800), *range(0xE000, 0x20100), *range(0xE0000, 0xE0200))]
SPLIT_BY_THE_LIBRARY = ("characters", "bpe", "wordpiece", "unigram")
# Letters that meet in the corpus, and all that has ever confused a tokenizer.
LETTERS = sorted({letter for sentence in SENTENCES for letter in sentence})
ODD = list("\0\t\n\x0b\x0c\r\x1c\x1f \x85\xa0\xad\u1680\u2003\u2028\u200b\u200c\u200d\u202e\u2581\u3000\ufeff\ufffd'#Ġ")
ODD += [
    "'s",
    "'ll",
    "[PAD]",
    "[UNK]",
    "##s",
    "\u0301\u0323",
    "\u1734",
    "\U00010781",
    "\ud800",
    "\udc80",
    "\ud83d\ude00",
]
TEXT = st.lists(st.one_of(st.sampled_from(LETTERS), st.sampled_from(ODD), st.characters()), max_size=40).map("".join)


@lru_cache
def learned(kind: str, **settings: Any) -> Tokenizer:
    return train_tokenizer(CORPUS, kind=kind, size=400, max_length=16, **settings)


@lru_cache
def library(kind: str) -> Any:
    return to_library(learned(kind))


@pytest.mark.parametrize("kind", SPLIT_BY_THE_LIBRARY)
@given(text=TEXT)
@settings(max_examples=60)
def test_the_same_ids_as_the_library(kind: str, text: str) -> None:
    _compare(kind, text)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SPLIT_BY_THE_LIBRARY)
@given(text=TEXT)
@settings(max_examples=500)
def test_the_same_ids_as_the_library_for_many_texts(kind: str, text: str) -> None:
    _compare(kind, text)


def _compare(kind: str, text: str) -> None:
    tokenizer = learned(kind)
    text = tokenizer.cleaning.clean(text)
    for special in ("[PAD]", "[UNK]"):  # the library's unigram model takes these letters for the special ids
        text = text.replace(special, "[]") if kind == "unigram" else text
    assert tokenizer.ids(text) == _of_library(kind, text)


@pytest.mark.parametrize("kind", SPLIT_BY_THE_LIBRARY)
@given(data=st.binary(max_size=60))
@settings(max_examples=40)
def test_the_same_ids_for_broken_utf8(kind: str, data: bytes) -> None:
    tokenizer = learned(kind)
    assert tokenizer.ids(data) == _of_library(kind, tokenizer.cleaning.clean(data.decode("utf-8", "replace")))
    assert tokenizer.ids(data) == tokenizer.ids(data.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("kind", SPLIT_BY_THE_LIBRARY)
def test_the_same_ids_for_long_texts(kind: str) -> None:
    for text in (
        " ".join(SENTENCES) * 100,
        "x" * 20_000,
        "the" * 20_000,
        "打开" * 10_000,
        "\u0301" * 5000,
        " " * 20_000,
    ):
        tokenizer = learned(kind)
        assert tokenizer.ids(text) == _of_library(kind, tokenizer.cleaning.clean(text))


@pytest.mark.slow
@pytest.mark.parametrize("kind", SPLIT_BY_THE_LIBRARY)
def test_the_same_ids_for_every_character(kind: str) -> None:
    tokenizer = learned(kind, cleaning=Cleaning(None))
    wide = to_library(tokenizer)
    for start in range(0, len(ALL), 4096):
        for text in ("".join(ALL[start : start + 4096]), "a ".join(ALL[start : start + 4096])):
            assert tokenizer.ids(text) == wide.encode(text, add_special_tokens=False).ids


def _of_library(kind: str, text: str) -> list[int]:
    ids: list[int] = library(kind).encode(text, add_special_tokens=False).ids
    return ids


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram", "characters"])
@given(text=TEXT)
@settings(max_examples=40)
def test_the_same_text_again_as_the_library(kind: str, text: str) -> None:
    tokenizer = learned(kind)
    ids = [index for index in tokenizer.ids(text) if index != tokenizer.unknown_id]
    assert tokenizer.decode(ids) == library(kind).decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_learned(kind: str) -> None:
    tokenizer = train_tokenizer(CORPUS, kind=kind, size=400, max_length=16, special=("begin", "end", "mask", "spanish"))
    assert tokenizer.kind == kind
    assert tokenizer.size <= 400
    expected = ["pad"] if kind == "bpe" else ["pad", "unknown"]
    assert list(tokenizer.model.special) == [*expected, "begin", "end", "mask", "spanish"]
    assert sorted(tokenizer.model.special.values()) == list(range(len(expected) + 4))
    assert Tokenizer.from_json(tokenizer.to_json()).to_json() == tokenizer.to_json()
    known = [index for sentence in SENTENCES[:3] for index in tokenizer.ids(sentence)]
    unknown = known.count(tokenizer.unknown_id) if tokenizer.unknown_id is not None else 0
    assert unknown <= 0.1 * len(known)
    assert tokenizer.decode(tokenizer.ids("turn on the lights")) == "turn on the lights"


def test_words_are_ranked_by_count_then_alphabet() -> None:
    texts = ["b c", "B a", "c", "d"]
    small = Cleaning(lowercase=True)
    for order in (texts, texts[::-1]):
        learned = train_tokenizer(order, kind="words", size=5, max_length=4, cleaning=small)
        assert learned.model.vocabulary == ("[PAD]", "[UNK]", "b", "c", "a")
    assert train_tokenizer(texts, kind="words", size=9, max_length=4).model.vocabulary[2:] == ("c", "B", "a", "b", "d")


@pytest.mark.parametrize("kind", KINDS)
def test_another_process_learns_the_same_from_another_order(kind: str) -> None:
    program = (
        "import sys, json; from edgewright_converter.language.tokenization import train_tokenizer; "
        "kind, texts = json.load(sys.stdin); "
        "sys.stdout.buffer.write(train_tokenizer(texts, kind=kind, size=400, max_length=16).to_json())"
    )
    request = json.dumps([kind, CORPUS[::-1]]).encode()
    run = subprocess.run([sys.executable, "-c", program], input=request, capture_output=True, check=True)
    assert run.stdout == learned(kind).to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "letters"}, "no tokenizer of the kind 'letters': expected one of words"),
        ({"kind": "bpe", "size": 200}, "256 bytes, so its size is not 199"),
        ({"size": 2}, "size is 3 to 1,000,000 ids here, not 2"),
        ({"size": 10**7}, "not 10000000"),
        ({"max_length": 0}, "max_length"),
        ({"special": ("begin", "begin")}, "not begin, begin"),
        ({"special": ("pad",)}, "not pad"),
        ({"special": ("a b",)}, "not a b"),
        ({"buckets": 3}, "words has no option buckets"),
        ({"texts": []}, "hold nothing that a tokenizer of the kind words"),
        ({"texts": ["…"]}, "hold nothing"),
        ({"kind": "unigram", "texts": [" "]}, "hold nothing"),
        ({"kind": "wordpiece", "texts": [" "]}, "hold nothing|No tokenizer can be learned"),
    ],
)
def test_what_cannot_be_learned(change: dict[str, Any], message: str) -> None:
    request: dict[str, Any] = {"texts": CORPUS, "kind": "words", "size": 400, "max_length": 16, **change}
    with pytest.raises(InputError, match=message):
        train_tokenizer(request.pop("texts"), **request)


def _bert(**options: Any) -> Any:
    made = to_library(learned("wordpiece", special=("begin", "end")))
    made.normalizer = tokenizers.normalizers.BertNormalizer(**options)
    made.add_special_tokens(["[PAD]", "[UNK]", "[BEGIN]", "[END]"])
    made.post_processor = tokenizers.processors.BertProcessing(("[END]", 3), ("[BEGIN]", 2))
    return made


def _gpt2() -> Any:
    pieces = learned("bpe").model.vocabulary
    model = learned("bpe").model
    merges = [(pieces[left], pieces[right]) for left, right in model.merges]  # type: ignore[attr-defined]
    vocabulary = {piece: index for index, piece in enumerate([*pieces[1:], "<|endoftext|>"])}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.add_special_tokens(["<|endoftext|>"])
    return made


def _sentencepiece(scheme: str) -> Any:
    made = to_library(learned("unigram", special=("begin", "end")))
    made.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.NFKC(), tokenizers.normalizers.Lowercase()]
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme=scheme)
    made.add_special_tokens(["[PAD]", "[UNK]", "[BEGIN]", "[END]"])
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A [END]", pair="$A $B [END]", special_tokens=[("[END]", 3)]
    )
    return made


FOREIGN = {
    "bert": lambda: _bert(lowercase=True),
    "bert-cased": lambda: _bert(lowercase=False),
    "bert-dirty": lambda: _bert(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False),
    "gpt2": _gpt2,
    "sentencepiece": lambda: _sentencepiece("always"),
    "sentencepiece-bare": lambda: _sentencepiece("never"),
}


@lru_cache
def foreign(name: str) -> tuple[Tokenizer, Any]:
    made = FOREIGN[name]()
    made.encode_special_tokens = True
    return from_huggingface(made.to_str().encode(), max_length=16), made


@pytest.mark.parametrize("name", sorted(FOREIGN))
@given(text=TEXT)
@settings(max_examples=60)
def test_what_is_taken_over_gives_the_same_ids(name: str, text: str) -> None:
    tokenizer, made = foreign(name)
    text = Cleaning(None).clean(text)
    if any(piece in text for piece in tokenizer.model.vocabulary if piece[:1] in "[<" and len(piece) > 1):
        return  # the library's unigram model itself spells special pieces
    assert tokenizer.ids(text) == made.encode(text, add_special_tokens=False).ids
    if len(made.encode(text).ids) <= 16:
        wanted = made.encode(text).ids
        assert tokenizer.encode(text).tolist() == wanted + [tokenizer.pad_id] * (16 - len(wanted))


def test_how_they_begin_and_end() -> None:
    assert [(foreign(name)[0].begin, foreign(name)[0].end) for name in ("bert", "gpt2", "sentencepiece")] == [
        (True, True),
        (False, False),
        (False, True),
    ]
    gpt2 = foreign("gpt2")[0]
    assert gpt2.pad_id == gpt2.end_id == gpt2.size - 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"type": "WordLevel", "vocab": {}, "unk_token": "a"}}, "model WordLevel cannot be taken over"),
        ({"model": None}, "no tokenizer.json"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "has the splitting Whitespace, which the device"),
        ({"pre_tokenizer": None}, "has the splitting None"),
        ({"normalizer": {"type": "Nmt"}}, "has the normalizer Nmt"),
        ({"post_processor": {"type": "Sequence", "processors": []}}, "has the post-processor Sequence"),
        ({"added_tokens": [{"id": 900, "content": "x", "special": False}]}, "the piece 'x' added"),
        ({"added_tokens": [{"id": 9, "content": "[PAD]", "special": True}]}, "the piece '.PAD.' added"),
        ({"added_tokens": []}, "no piece for padding"),
    ],
)
def test_what_cannot_be_taken_over(change: dict[str, Any], message: str) -> None:
    document = json.loads(_sentencepiece("always").to_str())
    with pytest.raises(InputError, match=message):
        from_huggingface(json.dumps({**document, **change}).encode(), max_length=16)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"model":{"type":"BPE"}}', b"\xff", b"[" * 100_000])
def test_what_is_no_tokenizer_at_all(raw: bytes) -> None:
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        from_huggingface(raw, max_length=16)


def test_stop_words_by_language() -> None:
    pytest.importorskip("stopwordsiso", reason="needs the extra 'language'")
    cleaning = Cleaning(lowercase=True, stop_words=stop_words("en"))
    assert cleaning.clean("The lights are on").split() == ["lights"]
    assert "eta" in stop_words("eu")
    with pytest.raises(InputError, match="language 'xx': expected one of"):
        stop_words("xx")


@pytest.mark.slow
def test_the_tables_are_the_library_s() -> None:
    """For every code point that differs from its neighbours."""
    everything = "".join(ALL)
    for kind, pattern in {**{kind: kind for kind in "LMNPSZ"}, "F": "Cf"}.items():
        left = set(tokenizers.normalizers.Replace(tokenizers.Regex(rf"\p{{{pattern}}}"), "").normalize_str(everything))
        assert {c for c in ALL if class_of(c) == kind} == set(ALL) - left, kind
    left = set(tokenizers.normalizers.Replace(tokenizers.Regex(r"\s"), "").normalize_str(everything))
    assert {c for c in ALL if is_space(c)} == set(ALL) - left
    assert lower(everything) == tokenizers.normalizers.Lowercase().normalize_str(everything)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        theirs = getattr(tokenizers.normalizers, form)()
        assert [c for c in ALL if normalize(form, c) != theirs.normalize_str(c)] == []
        for mark in "\u0323\u0334":
            assert [
                c for c in ALL if normalize(form, f"a\u0301{c}{mark}") != theirs.normalize_str(f"a\u0301{c}{mark}")
            ] == []
    plain = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    clean = tokenizers.normalizers.BertNormalizer(**{**plain, "clean_text": True})
    strip = tokenizers.normalizers.BertNormalizer(**{**plain, "strip_accents": True})
    split = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    for packed, measured in (
        (CONTROL, lambda c: clean.normalize_str(f"a{c}a") == "aa"),
        (ACCENTS, lambda c: strip.normalize_str(c) == "" and unicodedata.normalize("NFD", c) == c),
        (PUNCTUATION, lambda c: len(split(f"a{c}a")) == 3),
    ):
        ranges = Ranges(packed)
        assert [c for c in ALL if (c in ranges) != measured(c) and normalize("NFD", c) == c] == []
