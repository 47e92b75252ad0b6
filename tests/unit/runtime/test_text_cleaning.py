"""What happens to texts before they are split, and what Unicode's versions have to do with it: nothing."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import Cleaning
from edgewright_runtime.text.classes import class_of, is_space
from edgewright_runtime.text.cleaning import decoded
from edgewright_runtime.text.normalization import lower, normalize

TEXT = st.text(st.characters(), max_size=60)
ALL = [chr(code) for code in [*range(0xD800), *range(0xE000, 0x20000)]]  # beyond are ideographs and nothing


@pytest.mark.parametrize(
    ("cleaning", "text", "expected"),
    [
        (Cleaning(None), "e\u0301 ﬁ", "e\u0301 ﬁ"),
        (Cleaning(), "e\u0301 ﬁ A", "é ﬁ A"),
        (Cleaning("NFKC"), "e\u0301 ﬁ x² Ｋ", "é fi x2 K"),
        (Cleaning(lowercase=True), "ÄRGER ΟΔΟΣ İ", "ärger οδοσ i\u0307"),
        (Cleaning(strip_accents=True), "é ñ Ś", "e n S"),
        (Cleaning(strip_accents=True), "ലൈറ്റ് שָׁלוֹם पानी", "ലൈറ്റ് שָׁלוֹם पानी"),  # not accents, but vowels
        (Cleaning(numbers="zeros"), "21.5 ٣ ½", "00.0 0 0"),
        (Cleaning(numbers="drop"), "a1b 22", "a b   "),
        (Cleaning(punctuation="drop"), "it's 20°C, ok?", "it s 20 C  ok "),
        (Cleaning(lowercase=True, stop_words=("the", "is")), "The sky is theirs", " sky  theirs"),
        (Cleaning(stop_words=("don't",)), "don't «don’t» do", " «» do"),
    ],
)
def test_each_step(cleaning: Cleaning, text: str, expected: str) -> None:
    assert cleaning.clean(text) == unicodedata.normalize("NFC", expected) or cleaning.clean(text) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"normalization": "NFD"},
        {"normalization": 3},
        {"numbers": "none"},
        {"punctuation": True},
        {"lowercase": 1},
        {"strip_accents": None},
        {"stop_words": ["a"]},
        {"stop_words": (1,)},
    ],
)
def test_what_is_no_step(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="cleaning's"):
        Cleaning(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [3, None, ["a"]])
def test_what_is_no_text(text: object) -> None:
    with pytest.raises(InputError, match="takes text, not"):
        Cleaning().clean(text)  # type: ignore[arg-type]


@given(data=st.binary(max_size=60))
def test_broken_utf8_is_the_same_as_bytes_and_as_a_terminal_gives_it(data: bytes) -> None:
    text = Cleaning(None).clean(data)
    assert text == Cleaning(None).clean(data.decode("utf-8", "surrogateescape"))
    text.encode("utf-8")


@given(text=TEXT)
def test_valid_text_is_left_alone_by_decoding(text: str) -> None:
    valid = all(not 0xD800 <= ord(character) <= 0xDFFF for character in text)
    assert (decoded(text) == text) == (valid or not text)


@given(text=TEXT, form=st.sampled_from(["NFC", "NFKC"]), lowercase=st.booleans())
def test_equivalent_texts_become_equal(text: str, form: str, lowercase: bool) -> None:
    clean = Cleaning(form, lowercase=lowercase).clean
    # Only what Unicode 9 knew: the Python that runs the test may know more.
    known = "".join(c for c in decoded(text) if normalize("NFKD", c) == unicodedata.normalize("NFKD", c))
    known = "".join(c for c in known if class_of(c) != "M" or c < "\u0600")
    assert clean(unicodedata.normalize("NFD", known)) == clean(unicodedata.normalize("NFC", known))


@pytest.mark.parametrize("count", [10, 33, 400])
@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_long_rows_of_marks_are_ordered_as_short_ones(form: str, count: int) -> None:
    for marks in ("\u0301\u0323", "\u0344\u0327", "\u05b0\u0315\u0334"):
        text = f"{'x' * 300}e{marks * count}Ŝ{marks * count}"
        assert normalize(form, text) == unicodedata.normalize(form, text)


def test_very_long_rows_of_marks_take_no_time() -> None:
    text = "a" + "\u0301\u0323" * 50_000
    cleaned = Cleaning(lowercase=True, strip_accents=True).clean(text)
    assert cleaned == "a"


def test_characters_that_are_newer_than_the_tables_stay_as_they_are() -> None:
    assert normalize("NFKC", "a\U00010781\u0898\u0301b ﬁ") == "a\U00010781\u0898\u0301b fi"
    assert normalize("NFD", "\U00011938é") == "\U00011938e\u0301"
    assert normalize("NFC", "a\u0301\u1df6\u0323") == "\u00e1\u1df6\u0323"


def test_small_letters_do_not_depend_on_python() -> None:
    assert lower("\ua7c0\u2c2f\U00010570\U00010d50\u1c89A") == "\ua7c1\u2c5f\U00010597\U00010d70\u1c8aa"
    assert lower("".join(ALL)) == "".join(map(lower, ALL))


def test_classes_agree_with_unicodedata_where_it_knows() -> None:
    """Classes of Unicode 16: what changed since this Python's version is new characters and a few corrections."""
    other = {"Cf": "F", "Cc": "C", "Cs": "C", "Co": "C"}
    differ = [c for c in ALL if (kind := unicodedata.category(c)) != "Cn" and class_of(c) != other.get(kind, kind[0])]
    assert len(differ) < 20
    spaces = [c for c in ALL if is_space(c)]
    assert spaces == [c for c in ALL if c.isspace() and not "\x1c" <= c <= "\x1f"]
