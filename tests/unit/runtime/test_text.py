"""From sentences to ids, in many scripts, and whatever bytes call themselves text."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import WORD_LIMIT, Tokenizer, words

TEXT = st.text(st.characters(), max_size=60)  # all of Unicode, lone surrogates too


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Turn on the lights, please!", ["Turn", "on", "the", "lights", "please"]),
        ("don't l’eau 'quoted' rock''n O'", ["don't", "l'eau", "quoted", "rock", "n", "O"]),
        ("snake_case e-mail 3.5 20°C ½", ["snake", "case", "e", "mail", "3", "5", "20", "C", "½"]),
        ("पानी गरम करो", ["पानी", "गरम", "करो"]),  # Hindi: vowel signs are marks
        ("ലൈറ്റ് ഓണാക്കൂ", ["ലൈറ്റ്", "ഓണാക്കൂ"]),  # Malayalam: so is the virama
        ("שָׁלוֹם עולם", ["שָׁלוֹם", "עולם"]),
        ("打开灯light打", ["打", "开", "灯", "light", "打"]),
        ("カメラをつけて", ["カ", "メ", "ラ", "を", "つ", "け", "て"]),
        ("かﾞ", ["か", "ﾞ"]),
        ("か\u3099ぎ", ["か\u3099", "ぎ"]),
        ("ที่บ้าน", ["ที่", "บ้", "า", "น"]),  # Thai: a consonant keeps its marks
        ("ຢູ່ ខ្មែរ မြန်မာ", ["ຢູ່", "ខ្", "មែ", "រ", "မြ", "န်", "မာ"]),
        ("불을 켜", ["불을", "켜"]),  # Hangul is written with spaces
        ("می\u200cخواهم co\u00adop a\u200bb", ["میخواهم", "coop", "a", "b"]),
        ("=\u0338 \u0301e\u0301", ["e\u0301"]),  # a mark needs a letter before it
        ("a\ud800b\0c\U0001f600d", ["a", "b", "c", "d"]),
        ("x'\u0301y", ["x", "y"]),
        ("", []),
        (" \n\t…—", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert list(words(text)) == expected


def test_the_same_letters_written_differently_are_the_same_word() -> None:
    tokenizer = Tokenizer.train(["Ärger über ﷲ Straße ΟΔΟΣ"], 10, 6)
    for form in ("NFC", "NFD"):
        assert 1 not in tokenizer.encode(unicodedata.normalize(form, "ÄRGER ÜBER ﷲ straße οδος")).tolist()


@given(text=TEXT)
def test_any_text_gives_ids_of_one_length(text: str) -> None:
    tokenizer = Tokenizer(["[PAD]", "[UNK]", "a"], 5)
    ids = tokenizer.encode(text)
    assert (ids.shape, ids.dtype) == ((5,), np.int32)
    assert set(ids.tolist()) <= {0, 1, 2}
    count = len(list(words(text)))
    assert np.count_nonzero(ids) == min(count, 5)
    assert (ids[: min(count, 5)] > 0).all()


@given(text=TEXT)
def test_composed_and_decomposed_text_gives_the_same_words(text: str) -> None:
    tokenizer = Tokenizer(["[PAD]", "[UNK]"], 5)
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert list(tokenizer.tokens(composed)) == list(tokenizer.tokens(decomposed))


@given(texts=st.lists(TEXT, max_size=8))
def test_every_trained_word_is_known(texts: list[str]) -> None:
    tokenizer = Tokenizer.train(texts, size=10_000, max_length=100)
    for text in texts:
        assert 1 not in tokenizer.encode(text).tolist()


@given(data=st.binary(max_size=100))
def test_broken_utf8_is_only_text(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert Tokenizer(["[PAD]", "[UNK]"], 4).encode(text).shape == (4,)


@pytest.mark.parametrize("text", ["a" + "\u0301\u0323" * 500_000, "x" * 1_000_000, "a " * 500_000, "'" * 1_000_000])
def test_a_megabyte_is_no_denial_of_service(text: str) -> None:
    assert next(iter(Tokenizer(["[PAD]", "[UNK]"], 2).encode(text))) == (0 if text[0] == "'" else 1)
    assert all(len(word) <= WORD_LIMIT for word in words(text[:10_000]))


def test_long_texts_are_cut_at_the_tail() -> None:
    tokenizer = Tokenizer.train(["a b c d"], 10, 3)
    assert tokenizer.encode("a b c d").tolist() == tokenizer.encode("a b c").tolist() == [2, 3, 4]


def test_training_ranks_by_count_then_alphabet() -> None:
    texts = ["b c", "B a", "c", "d"]
    assert Tokenizer.train(texts, 5, 4).vocabulary == ("[PAD]", "[UNK]", "b", "c", "a")
    assert Tokenizer.train(reversed(texts), 5, 4).vocabulary == ("[PAD]", "[UNK]", "b", "c", "a")
    assert Tokenizer.train(texts, 9, 4, lowercase=False).vocabulary[2:] == ("c", "B", "a", "b", "d")
    assert Tokenizer.train(texts, 0, 4).vocabulary == ("[PAD]", "[UNK]")


@given(texts=st.lists(TEXT, max_size=5), lowercase=st.booleans())
def test_json_round_trip(texts: list[str], lowercase: bool) -> None:
    tokenizer = Tokenizer.train(texts, 100, 7, lowercase)
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again.to_json() == tokenizer.to_json()
    assert (again.vocabulary, again.max_length, again.lowercase) == (tokenizer.vocabulary, 7, lowercase)


GOOD = '{"kind":"words","lowercase":true,"max_length":8,"normalization":"NFC","vocabulary":["[PAD]","[UNK]","a"]}'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("words", "pieces"),
        ("NFC", "NFKC"),
        ("true", "1"),
        ("8", "0"),
        ("8", "true"),
        ("8", "8.0"),
        ("8", "1000000"),
        ('"a"]', '"a","a"]'),
        ('"a"]', "3]"),
        ('"a"]', '["a"]]'),
        ('"[PAD]"', '"pad"'),
        ('["[PAD]","[UNK]","a"]', '"[PAD][UNK]"'),
        ('"kind":', '"sort":'),
        ("}", ',"more":1}'),
        (GOOD, "[" * 100_000),
        (GOOD, "null"),
        (GOOD, ""),
    ],
)
def test_a_wrong_document_is_refused(old: str, new: str) -> None:
    assert Tokenizer.from_json(GOOD.encode()).vocabulary[2] == "a"
    with pytest.raises(InputError):
        Tokenizer.from_json(GOOD.replace(old, new, 1).encode())


@given(data=st.binary(max_size=100))
def test_no_bytes_are_anything_but_an_input_error(data: bytes) -> None:
    with pytest.raises(InputError):
        Tokenizer.from_json(data)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(InputError, match="not bytes"):
        Tokenizer(["[PAD]", "[UNK]"], 2).encode(b"a")  # type: ignore[arg-type]
