"""Unicode normalization, small letters and accents, the same on every Python.

unicodedata changes with its version. What Unicode 9 did not know is inert here, as in the tokenizers library: it is
not decomposed, does not compose, and marks do not change places with it. Nothing else may change, by Unicode's own
promise (its stability policy), so that the answer is that of any version.
"""

import unicodedata
from functools import lru_cache
from re import escape, split
from typing import Literal

from .classes import Ranges
from .tables import NEW_CAPITALS, NORMALIZED

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]

# unicodedata moves marks into their order in a time that grows with the square of how many there are in a row.
_MANY_MARKS = 32
# What all scripts share: Combining Diacritical Marks, Extended, Supplement, for Symbols, Half Marks.
_ACCENTS = ((0x0300, 0x036F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
_PLAIN = "\u0300"  # no character below has to do with composition


class _Inert(dict[str, bool]):
    """Whether a character is one that Python knows and Unicode 9 did not, for each character met so far."""

    def __init__(self) -> None:
        self._normalized = Ranges(NORMALIZED)

    def __missing__(self, character: str) -> bool:
        inert = character not in self._normalized and unicodedata.category(character) != "Cn"
        self[character] = inert
        return inert


@lru_cache(maxsize=1)
def _inert() -> _Inert:
    return _Inert()


def normalize(form: Form, text: str) -> str:
    """form: NFC, NFD, NFKC or NFKD. Takes a time that grows with the text's length, whatever it holds."""
    if form == "NFC" and max(text, default="") < _PLAIN:
        return text
    known = _inert()
    inert = [character for character in set(text) if character >= _PLAIN and known[character]]
    if not inert:
        return unicodedata.normalize(form, _in_order(form, text))
    parts = split(f"([{escape(''.join(inert))}]+)", text)
    parts[::2] = [unicodedata.normalize(form, _in_order(form, part)) for part in parts[::2]]
    return "".join(parts)


def _in_order(form: Form, text: str) -> str:
    """The same text, in which long rows of marks are decomposed and in their canonical order."""
    if len(text) <= 8 * _MANY_MARKS:
        return text
    parts = split(b"([^\0]{%d,})" % _MANY_MARKS, bytes(map(unicodedata.combining, text)))
    if len(parts) == 1:
        return text
    decomposed: Form = "NFKD" if "K" in form else "NFD"
    pieces, start = [], 0
    for part in parts:
        piece = text[start : start + len(part)]
        start += len(part)
        if part[:1] not in (b"", b"\0"):
            marks = piece.translate({ord(mark): unicodedata.normalize(decomposed, mark) for mark in set(piece)})
            piece = "".join(sorted(marks, key=unicodedata.combining))
        pieces.append(piece)
    return "".join(pieces)


@lru_cache(maxsize=1)
def _new_capitals() -> dict[int, int]:
    return {code: code + far for first, count, far in NEW_CAPITALS for code in range(first, first + count)}


def lower(text: str) -> str:
    """Small letters, each on its own: a final sigma is a sigma. As of Unicode 17."""
    new = _new_capitals()
    if not new.keys().isdisjoint(map(ord, set(text))):
        text = text.translate(new)
    return text.replace("\u03a3", "\u03c3").lower()


def strip_accents(text: str, form: Form) -> str:
    """Without the combining marks that all scripts share. form: what the result is normalized to."""
    decomposed = normalize("NFD", text)
    accents = [mark for mark in set(decomposed) if any(low <= ord(mark) <= high for low, high in _ACCENTS)]
    return normalize(form, decomposed.translate(dict.fromkeys(map(ord, accents))))
