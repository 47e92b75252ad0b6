"""Words in many scripts."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.models import words_tokenizer

from edgewright_runtime.errors import InputError
from edgewright_runtime.text.hashed import HashedWords
from edgewright_runtime.text.words import WORD_LIMIT, spans, words

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


@given(text=TEXT)
def test_spans_say_where_the_words_are(text: str) -> None:
    end = 0
    for start, stop, word in spans(text):
        assert end <= start < stop <= len(text)
        assert text[start] == word[0]
        assert list(words(text[start:stop])) == [word]
        end = stop


def test_a_long_run_is_cut() -> None:
    assert list(words("x" * 1000 + " y")) == ["x" * WORD_LIMIT, "y"]


@given(text=TEXT)
def test_composed_and_decomposed_text_gives_the_same_words(text: str) -> None:
    clean = words_tokenizer([], 5).cleaning.clean
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert list(words(clean(composed))) == list(words(clean(decomposed)))


def _naive_buckets(text: str, buckets: int) -> list[str]:
    """What ``HashedWords`` puts into buckets, spelled out."""
    found, before = [], []
    for word in text.split():
        framed = f"<{word}>"
        found += [framed[at : at + size] for size in (3, 4) for at in range(len(framed)) if at + size <= len(framed)]
        found += [" ".join([*before[len(before) - size :], word]) for size in (1, 2) if len(before) >= size]
        before.append(word)
    return found


@given(text=st.text("ab e\u00e9 ", max_size=30))
def test_hashed_ngrams(text: str) -> None:
    from zlib import crc32

    known = HashedWords(("[PAD]", "[UNK]", "a", "ab"), {"pad": 0, "unknown": 1}, 50, (3, 4), 3)
    ids = list(known.ids(text))
    assert [index for index in ids if index >= 4] == [
        4 + crc32(ngram.encode()) % 50 for ngram in _naive_buckets(text, 50)
    ]
    assert [known.vocabulary[index] for index in ids if index < 4] == [
        word for word in text.split() if word in ("a", "ab")
    ]
    assert known.size == 54


def test_whole_words_stems_and_signs_are_hashed_without_a_vocabulary() -> None:
    from zlib import crc32

    bare = HashedWords(("[PAD]", "[UNK]"), {"pad": 0, "unknown": 1}, 90, (0, 0), 2, whole=True, signs=True, stem=3)
    pieces = ["isn't", "great", "isn gre", "!!", "gre !!", "\N{SLIGHTLY SMILING FACE}", "!! \N{SLIGHTLY SMILING FACE}"]
    ids = list(bare.ids("isn't great!! \N{SLIGHTLY SMILING FACE}"))
    assert ids == [2 + crc32(piece.encode()) % 90 for piece in pieces]
    again = HashedWords.from_options(bare.vocabulary, bare.special, bare.options())
    assert list(again.ids("isn't great!! \N{SLIGHTLY SMILING FACE}")) == ids
    assert HashedWords(bare.vocabulary, bare.special, 9).options() == {"buckets": 9, "characters": [3, 5], "words": 2}
    for wrong in ({"whole": 1}, {"stem": -1}, {"stem": True}, {"characters": 5}):
        with pytest.raises(InputError, match="A hashed tokenizer's"):
            HashedWords(bare.vocabulary, bare.special, 9, **wrong)  # type: ignore[arg-type]


def test_without_ngrams_of_characters_a_strange_word_is_unknown() -> None:
    plain = HashedWords(("[PAD]", "[UNK]", "a"), {"pad": 0, "unknown": 1}, 10, (0, 0), 1)
    assert list(plain.ids("a b a")) == [2, 1, 2]
