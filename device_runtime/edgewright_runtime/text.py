"""From a sentence to token ids: pure Python, the same on the host that trains and on the device that answers.

A word is a run of letters, marks and numbers, with the apostrophes inside it. Combining marks count as parts of their
word: Malayalam, Hindi or Hebrew fall to pieces without them. Scripts that put no spaces between words (Han, Kana, Thai,
Lao, Khmer, Myanmar) give one token for each character with its marks. Everything else separates words and is dropped;
invisible format characters (soft hyphen, joiners, direction marks) vanish from within a word.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from unicodedata import category, normalize

import numpy as np

from .errors import InputError

PAD, UNKNOWN = "[PAD]", "[UNK]"
# What follows in a longer run is dropped. No vocabulary holds such a word, and normalization takes time that grows with
# the square of a run of combining marks.
WORD_LIMIT = 64
VOCABULARY_LIMIT = 1_000_000
LENGTH_LIMIT = 65_536

_SEPARATOR, _WORD, _MARK, _ALONE, _APOSTROPHE, _INVISIBLE = range(6)
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


class _Kinds(dict[str, int]):
    """The kind of each character met so far."""

    def __missing__(self, character: str) -> int:
        kind = self[character] = _kind(character)
        return kind


def _kind(character: str) -> int:
    if character in "'\u2019":
        return _APOSTROPHE
    major = category(character)
    if major[0] == "M":
        return _MARK
    if major[0] in "LN":
        code = ord(character)
        return _ALONE if any(low <= code <= high for low, high in _ALONE_RANGES) else _WORD
    return _INVISIBLE if major == "Cf" and character != "\u200b" else _SEPARATOR  # U+200B: a space without width


_KINDS = _Kinds()


def words(text: str) -> Iterator[str]:
    """The words of any text, as written. A lone surrogate separates words, a mark without a letter is dropped."""
    run: list[str] = []  # of the word so far
    alone = False  # whether that is one character of a script without spaces
    apostrophe = False  # whether one waits for a letter to follow
    for character in text:
        kind = _KINDS[character]
        if kind == _INVISIBLE:
            continue
        if kind == _MARK and run and not apostrophe:
            run.append(character)
            continue
        if kind == _WORD and run and not alone:
            if apostrophe:
                run.append("'")
            run.append(character)
            apostrophe = False
            continue
        if kind == _APOSTROPHE and run and not alone and not apostrophe:
            apostrophe = True
            continue
        if run:
            yield "".join(run[:WORD_LIMIT])
        run = [character] if kind in (_WORD, _ALONE) else []
        alone, apostrophe = kind == _ALONE, False
    if run:
        yield "".join(run[:WORD_LIMIT])


class Tokenizer:
    """Words to ids. vocabulary: "[PAD]" (0), "[UNK]" (1), then the words; max_length: of every encoded text.

    Raises InputError where these are not usable.
    """

    def __init__(self, vocabulary: Iterable[str], max_length: int, lowercase: bool = True) -> None:
        self.vocabulary = tuple(vocabulary)
        self.max_length = max_length
        self.lowercase = lowercase
        if not all(isinstance(word, str) for word in self.vocabulary) or self.vocabulary[:2] != (PAD, UNKNOWN):
            raise InputError(f"A tokenizer's vocabulary is a list of words that begins with {PAD} and {UNKNOWN}.")
        self._ids = {word: index for index, word in enumerate(self.vocabulary)}
        if len(self._ids) != len(self.vocabulary) or len(self.vocabulary) > VOCABULARY_LIMIT:
            raise InputError(f"A tokenizer's vocabulary holds each word once, {VOCABULARY_LIMIT} at most.")
        if type(max_length) is not int or not 1 <= max_length <= LENGTH_LIMIT:
            raise InputError(f"A tokenizer's max_length is a whole number from 1 to {LENGTH_LIMIT}.")
        if type(lowercase) is not bool:
            raise InputError("A tokenizer's lowercase is true or false.")

    def tokens(self, text: str) -> Iterator[str]:
        """The normalized words of a text, known or not."""
        for word in words(text):
            word = normalize("NFC", word)
            yield word.lower() if self.lowercase else word

    def encode(self, text: str) -> "np.ndarray[Any, np.dtype[np.int32]]":
        """(max_length,) int32: the ids, cut or padded with 0 at the tail. Raises InputError for what is no text."""
        if not isinstance(text, str):
            raise InputError(f"The tokenizer takes text, not {type(text).__name__}: give it a string.")
        ids = np.zeros(self.max_length, np.int32)
        for position, token in zip(range(self.max_length), self.tokens(text)):
            ids[position] = self._ids.get(token, 1)
        return ids

    @classmethod
    def train(cls, texts: Iterable[str], size: int, max_length: int, lowercase: bool = True) -> "Tokenizer":
        """A vocabulary of at most ``size`` entries: the most frequent words, equal ones by alphabet."""
        counts: Counter[str] = Counter()
        empty = cls((PAD, UNKNOWN), max_length, lowercase)
        for text in texts:
            counts.update(empty.tokens(text))
        by_rank = sorted(counts, key=lambda word: (-counts[word], word))
        return cls((PAD, UNKNOWN, *by_rank[: max(0, size - 2)]), max_length, lowercase)

    def to_json(self) -> bytes:
        """Canonical: the same tokenizer gives the same bytes."""
        document = {
            "kind": "words",
            "lowercase": self.lowercase,
            "max_length": self.max_length,
            "normalization": "NFC",
            "vocabulary": self.vocabulary,
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"

    @classmethod
    def from_json(cls, raw: bytes) -> "Tokenizer":
        """Raises InputError where it is not what ``to_json`` writes."""
        try:
            document = json.loads(raw.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError("The tokenizer is not readable as JSON: write it with Tokenizer.to_json.") from error
        keys = {"kind", "lowercase", "max_length", "normalization", "vocabulary"}
        if not isinstance(document, dict) or set(document) != keys or not isinstance(document["vocabulary"], list):
            raise InputError(f"A tokenizer is a JSON object with exactly the keys {', '.join(sorted(keys))}.")
        if document["kind"] != "words" or document["normalization"] != "NFC":
            raise InputError(
                'A tokenizer has kind "words" and normalization "NFC" here: upgrade edgewright for others.'
            )
        return cls(document["vocabulary"], document["max_length"], document["lowercase"])
