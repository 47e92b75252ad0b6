"""Byte-level byte-pair encoding (GPT-2's): any text has ids, and the ids spell it again to the byte.

A text is cut into words, numbers, runs of other characters and of white space, each with the space before it. The UTF-8
bytes of each part are joined pair by pair, always the pair that was learned first, the leftmost of equal ones.
Sources: Sennrich, Haddow and Birch 2016; Radford et al. 2019.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from ..errors import InputError
from .classes import class_of, is_space
from .model import PIECE_LIMIT, VOCABULARY_LIMIT, Model

# Over one letter for each character, its class, so that Python's own re can tell letters from numbers: small letters of
# English contractions stand for themselves, L for other letters, N numbers, S white space but " ", O for all else.
_PART = re.compile("'(?:[stmd]|re|ve|ll)| ?[Ldelmrstv]+| ?N+| ?['O]+|[ S]+(?![^ S])|[ S]+")
_KEPT, _KEPT_LENGTH = 8192, 64  # parts whose ids are remembered, and the longest of them, in characters

# GPT-2's letters for bytes: those that can be seen stand for themselves.
_SEEN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_UNSEEN = [byte for byte in range(0x100) if byte not in _SEEN]
LETTERS = {**{chr(byte): byte for byte in _SEEN}, **{chr(0x100 + n): byte for n, byte in enumerate(_UNSEEN)}}

_TO_BYTES = {ord(letter): byte for letter, byte in LETTERS.items()}


class _Classes(dict[int, str]):
    """For str.translate: the class of each character met so far."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character in " 'delmrstv":
            kind = character
        elif is_space(character):
            kind = "S"
        else:
            kind = class_of(character)
            kind = kind if kind in "LN" else "O"
        self[code] = kind
        return kind


_CLASSES = _Classes()


class BytePairs(Model):
    """merges: pairs of ids, the first learned first; what a pair spells together is a piece of the vocabulary.
    prefix: whether a space is put before a text that begins without one.

    The vocabulary is spelled in GPT-2's letters for bytes, of which it holds all 256.
    """

    kind = "bpe"
    needs_unknown = False

    def __init__(
        self,
        vocabulary: tuple[str, ...],
        special: Mapping[str, int],
        merges: Sequence[tuple[int, int]],
        prefix: bool = False,
    ) -> None:
        super().__init__(vocabulary, special)
        if type(prefix) is not bool:
            raise InputError("A byte-level tokenizer's prefix is true or false.")
        self.prefix = prefix
        self._bytes: list[bytes] = []
        for index, piece in enumerate(vocabulary):
            if index in self.reserved:
                self._bytes.append(b"")
            elif LETTERS.keys() >= set(piece):
                self._bytes.append(piece.translate(_TO_BYTES).encode("latin-1"))
            else:
                raise InputError(f"The tokenizer's piece {piece!r} is not spelled in the letters for bytes.")
        numbers = {piece: index for index, piece in enumerate(self._bytes) if index not in self.reserved}
        if any(bytes([byte]) not in numbers for byte in range(0x100)):
            raise InputError("A byte-level tokenizer's vocabulary holds all 256 bytes.")
        self._single = [numbers[bytes([byte])] for byte in range(0x100)]
        self.merges = tuple(merges)
        self._ranks: dict[tuple[int, int], tuple[int, int]] = {}  # pair → rank, id of both together
        for rank, (left, right) in enumerate(self.merges):
            if not (0 <= left < len(vocabulary) and 0 <= right < len(vocabulary)):
                raise InputError("A byte-level tokenizer's merges join pieces that it has.")
            both = numbers.get(self._bytes[left] + self._bytes[right])
            if both is None or left in self.reserved or right in self.reserved:
                raise InputError("A byte-level tokenizer's merges give pieces of its vocabulary.")
            self._ranks[left, right] = rank, both
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str) -> Iterator[int]:
        if self.prefix and text and text[0] != " ":
            text = " " + text
        known = self._known
        for match in _PART.finditer(text.translate(_CLASSES)):
            part = text[match.start() : match.end()]
            found = known.get(part)
            if found is None:
                found = self._join(part.encode())
                if len(part) <= _KEPT_LENGTH:
                    if len(known) >= _KEPT:
                        known.clear()
                    known[part] = found
            yield from found

    def _join(self, part: bytes) -> list[int]:
        """The ids of one part: a chain of pieces, and a heap of the pairs that could be joined."""
        ids = [self._single[byte] for byte in part]
        if len(ids) == 1:
            return ids
        ranks, end = self._ranks, len(ids)
        after, before = list(range(1, end + 1)), list(range(-1, end - 1))
        waiting = [
            (ranks[pair][0], position, ranks[pair][1])
            for position, pair in enumerate(zip(ids, ids[1:]))
            if pair in ranks
        ]
        heapify(waiting)
        while waiting:
            _, left, both = heappop(waiting)
            right = after[left]
            if ids[left] < 0 or right == end:
                continue
            found = ranks.get((ids[left], ids[right]))
            if found is None or found[1] != both:  # one of the two was joined with another in the meantime
                continue
            ids[left], ids[right] = both, -1
            after[left] = behind = after[right]
            if behind < end:
                before[behind] = left
                found = ranks.get((both, ids[behind]))
                if found is not None:
                    heappush(waiting, (found[0], left, found[1]))
            ahead = before[left]
            if ahead >= 0:
                found = ranks.get((ids[ahead], both))
                if found is not None:
                    heappush(waiting, (found[0], ahead, found[1]))
        return [index for index in ids if index >= 0]

    def spelling(self, index: int, first: bool) -> bytes:
        return self._bytes[index]

    def pieces(self) -> tuple[str, ...]:
        merged = {self.vocabulary[left] + self.vocabulary[right] for left, right in self.merges}
        base = tuple(piece for piece in self.vocabulary if piece not in merged)
        return base if _with_merged(base, self.merges) == self.vocabulary else self.vocabulary

    def options(self) -> dict[str, Any]:
        return {"merges": [index for pair in self.merges for index in pair], "prefix": self.prefix}

    @classmethod
    def from_options(
        cls, vocabulary: tuple[str, ...], special: Mapping[str, int], options: dict[str, Any]
    ) -> "BytePairs":
        merges = options.get("merges")
        if (
            set(options) != {"merges", "prefix"}
            or not isinstance(merges, list)
            or len(merges) % 2
            or not all(type(index) is int for index in merges)
            or not all(isinstance(piece, str) for piece in vocabulary)
        ):
            raise InputError("A byte-level tokenizer's merges are pairs of ids.")
        pairs = list(zip(merges[::2], merges[1::2]))
        return cls(_with_merged(vocabulary, pairs), special, pairs, options["prefix"])


def _with_merged(base: tuple[str, ...], merges: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """The vocabulary, to which each merge adds a piece where it is a new one. Raises InputError."""
    pieces, known = list(base), set(base)
    for pair in merges:
        if not all(0 <= index < len(pieces) for index in pair):
            raise InputError("A byte-level tokenizer's merges join pieces that it has.")
        both = pieces[pair[0]] + pieces[pair[1]]
        if both not in known:
            known.add(both)
            pieces.append(both)
            if len(pieces) > VOCABULARY_LIMIT or len(both) > PIECE_LIMIT:
                raise InputError("A byte-level tokenizer's merges give too many or too long pieces.")
    return tuple(pieces)
