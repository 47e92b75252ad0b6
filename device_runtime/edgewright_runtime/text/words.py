"""Words, as people write them in any script.

A word is a run of letters, marks and numbers, with the apostrophes inside it. Combining marks count as parts of their
word: Malayalam, Hindi or Hebrew fall to pieces without them. Scripts that put no spaces between words (Han, Kana, Thai,
Lao, Khmer, Myanmar) give one token for each character with its marks. Everything else separates words and is dropped;
invisible format characters (soft hyphen, joiners, direction marks) vanish from within a word.
"""

import re
from collections.abc import Iterator

from .classes import class_of
from .model import Model

# What follows in a longer run is dropped: no vocabulary holds such a word.
WORD_LIMIT = 64

_ALONE_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x19E0, 0x19FF),  # Khmer symbols
    (0x3005, 0x3007),  # Han iteration mark, closing mark, zero
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana extensions
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),  # Myanmar extensions
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),  # Han compatibility
    (0xFF66, 0xFF9F),  # halfwidth Katakana
    (0x1AFF0, 0x1B16F),  # Kana supplements
    (0x20000, 0x3FFFF),  # Han, planes 2 and 3
)


# Over one letter for each character, its kind: W a letter or number, A one that stands alone, M a mark, I an invisible
# one, "'" an apostrophe, P punctuation or a symbol, "." what else separates words.
_WORD = re.compile("W[WMI]*(?:'I*W[WMI]*)*|A[MI]*")
_WORD_OR_SIGNS = re.compile(f"{_WORD.pattern}|[P']+")


class _Kinds(dict[int, str]):
    """For str.translate: the kind of each character met so far."""

    def __missing__(self, code: int) -> str:
        kind = self[code] = _kind(chr(code))
        return kind


def _kind(character: str) -> str:
    if character in "'\u2019":
        return "'"
    major = class_of(character)
    if major == "M":
        return "M"
    if major in "LN":
        code = ord(character)
        return "A" if any(low <= code <= high for low, high in _ALONE_RANGES) else "W"
    if major in "PS":
        return "P"
    return "I" if major == "F" and character != "\u200b" else "."  # U+200B: a space without width


_KINDS = _Kinds()


def spans(text: str, *, signs: bool = False) -> Iterator[tuple[int, int, str]]:
    """(start, end, word) of the words of any text. A mark without a letter is dropped.

    signs: a run of punctuation and symbols, ":-)" or "!!!", is a word too.
    """
    kinds = text.translate(_KINDS)
    for match in (_WORD_OR_SIGNS if signs else _WORD).finditer(kinds):
        start, end = match.span()
        word = text[start:end]
        if not word.isascii() or "'" in word:
            shape = match.group()
            if "I" in shape:
                end -= len(shape) - len(shape.rstrip("I"))
                word = "".join([character for character, kind in zip(word, shape) if kind != "I"])
            word = word.replace("\u2019", "'")
        yield start, end, word[:WORD_LIMIT]


def words(text: str, *, signs: bool = False) -> Iterator[str]:
    """The words of any text, as ``spans`` finds them."""
    for _, _, word in spans(text, signs=signs):
        yield word


class Words(Model):
    """An id for each known word."""

    kind = "words"

    def ids(self, text: str) -> Iterator[int]:
        find, unknown = self.ids_of.get, self.unknown
        for _, _, word in spans(text):
            yield find(word, unknown)

    def spelling(self, index: int, first: bool) -> bytes:
        return (self.vocabulary[index] if first else " " + self.vocabulary[index]).encode()
