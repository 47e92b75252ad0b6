"""A unigram language model over pieces of words (SentencePiece's): the most likely way to spell a text with them.

A space is written "▁", and each word begins with one. What no piece spells is unknown, a row of such characters once.
Source: Kudo 2018; the sums are those of the tokenizers library, in the same order, so that equal sums fall alike.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from ..errors import InputError
from .model import Model

SPACE = "\u2581"
UNKNOWN_PENALTY = 10.0
_WORD = re.compile(f"{SPACE}?[^{SPACE}]+|{SPACE}")
_KEPT, _KEPT_LENGTH = 8192, 64  # words whose ids are remembered, and the longest of them, in characters


class Unigram(Model):
    """scores: logarithm of the probability of each piece of the vocabulary (those of special ones do not count);
    prefix: whether a space is put before a text that begins without one; lowest: the least of all scores, where a
    special piece has it, from which the score of what is unknown is reckoned.
    """

    kind = "unigram"

    def __init__(
        self, vocabulary: tuple[str, ...], special: Mapping[str, int], scores: Sequence[float], prefix: bool = True
    ) -> None:
        super().__init__(vocabulary, special)
        if len(scores) != len(vocabulary) or not all(
            type(score) in (int, float) and abs(score) < 1e9 for score in scores
        ):
            raise InputError("A unigram tokenizer has a score for each piece, a number.")
        if type(prefix) is not bool:
            raise InputError("A unigram tokenizer's prefix is true or false.")
        self.scores, self.prefix = tuple(scores), prefix
        self._unknown_score = min(scores) - UNKNOWN_PENALTY
        # Every beginning of a piece: (its id, its score) where it is a piece itself, else None.
        self._beginnings: dict[str, Optional[tuple[int, float]]] = {}
        for piece, index in self.ids_of.items():
            for end in range(1, len(piece)):
                self._beginnings.setdefault(piece[:end], None)
            self._beginnings[piece] = index, scores[index]
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str) -> Iterator[int]:
        text = text.replace(" ", SPACE)
        if self.prefix and text and text[0] != SPACE:
            text = SPACE + text
        known = self._known
        for match in _WORD.finditer(text):
            word = match.group()
            found = known.get(word)
            if found is None:
                found = self._best(word)
                if len(word) <= _KEPT_LENGTH:
                    if len(known) >= _KEPT:
                        known.clear()
                    known[word] = found
            yield from found

    def _best(self, word: str) -> list[int]:
        """The ids of the best path through the word (Viterbi)."""
        size, beginnings = len(word), self._beginnings
        best = [0.0] * (size + 1)  # of the paths to each place
        before = [-1] * (size + 1)  # where its last piece begins
        last = [self.unknown] * (size + 1)  # and which it is
        for start in range(size):
            so_far, single = best[start], False
            for end in range(start + 1, size + 1):
                piece = word[start:end]
                if piece not in beginnings:
                    break
                found = beginnings[piece]
                if found is None:
                    continue
                score = found[1] + so_far
                if before[end] < 0 or score > best[end]:
                    best[end], before[end], last[end] = score, start, found[0]
                single = single or end == start + 1
            if not single:
                end, score = start + 1, self._unknown_score + so_far
                if before[end] < 0 or score > best[end]:
                    best[end], before[end], last[end] = score, start, self.unknown
        ids: list[int] = []
        place, unknown = size, self.unknown
        while place > 0:
            if last[place] != unknown or not ids or ids[-1] != unknown:
                ids.append(last[place])
            place = before[place]
        ids.reverse()
        return ids

    def spelling(self, index: int, first: bool) -> bytes:
        return self.vocabulary[index].replace(SPACE, "" if first and self.prefix else " ").encode()

    def options(self) -> dict[str, Any]:
        return {"prefix": self.prefix, "scores": list(self.scores)}

    @classmethod
    def from_options(
        cls, vocabulary: tuple[str, ...], special: Mapping[str, int], options: dict[str, Any]
    ) -> "Unigram":
        if set(options) != {"prefix", "scores"} or not isinstance(options["scores"], list):
            raise InputError("A unigram tokenizer has the options prefix and scores, a list.")
        return cls(vocabulary, special, options["scores"], options["prefix"])
