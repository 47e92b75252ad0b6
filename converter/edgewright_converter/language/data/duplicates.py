"""Which texts say the same: a test set that repeats the training data measures memory, not understanding.

Two texts are near duplicates where only case, compatibility forms, punctuation, spaces or digits tell them apart, or,
from eight words on, where eight tenths of all their runs of three words are common (Jaccard). Those pairs are found by
MinHash with banding (Broder 1997; Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, 3.4): with 16 bands of 4, a
pair at that limit is found with probability 0.9998, and each found pair is then compared exactly.
"""

import zlib
from collections import defaultdict
from collections.abc import Sequence
from unicodedata import category, normalize

import numpy as np

from edgewright_runtime.text.words import words

SHINGLE_WORDS = 3
LONG_TEXT_WORDS = 8
SIMILAR = 0.8
_BANDS, _ROWS = 16, 4


def canonical(text: str) -> str:
    """What is left when case, compatibility forms, punctuation, spaces and the values of digits are not looked at.

    A text of signs alone stays itself: "?" and "!" are no duplicates.
    """
    folded = normalize("NFKC", normalize("NFKC", text).casefold())
    kept = []
    for character in folded:
        kind = category(character)
        if kind[0] in "LM":
            kept.append(character)
        elif kind[0] == "N":
            kept.append("0")
    return "".join(kept) or text.strip()


def near_duplicates(texts: Sequence[str]) -> list[int]:
    """For each text the place of the first one of its cluster: its own where it has no earlier near duplicate.

    Clusters are transitive: what is near a member belongs to them.
    """
    leaders = _Leaders(len(texts))
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        leaders.unite(first.setdefault(canonical(text), index), index)
    distinct = [index for index in range(len(texts)) if leaders.find(index) == index]
    for left, right in _similar_pairs(texts, distinct):
        leaders.unite(left, right)
    return [leaders.find(index) for index in range(len(texts))]


class _Leaders:
    """Union-find; the smallest index of a cluster leads it."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def find(self, index: int) -> int:
        while self._above[index] != index:
            self._above[index] = index = self._above[self._above[index]]
        return index

    def unite(self, left: int, right: int) -> None:
        left, right = self.find(left), self.find(right)
        self._above[max(left, right)] = min(left, right)


def _similar_pairs(texts: Sequence[str], indices: Sequence[int]) -> list[tuple[int, int]]:
    shingles: dict[int, frozenset[int]] = {}
    for index in indices:
        tokens = [word.casefold() for word in words(texts[index])]
        if len(tokens) >= LONG_TEXT_WORDS:
            runs = (" ".join(tokens[at : at + SHINGLE_WORDS]) for at in range(len(tokens) - SHINGLE_WORDS + 1))
            shingles[index] = frozenset(zlib.crc32(run.encode("utf-8", "surrogatepass")) for run in runs)
    rng = np.random.default_rng(0)
    factors, offsets = (rng.integers(0, 1 << 64, (2, _BANDS * _ROWS, 1), dtype=np.uint64)) | np.uint64(1)
    buckets: dict[bytes, list[int]] = defaultdict(list)
    for index, hashes in shingles.items():
        # Multiply-shift (Dietzfelbinger et al. 1997): what overflows is meant to be lost.
        mixed = (np.fromiter(hashes, np.uint64, len(hashes)) * factors + offsets) >> np.uint64(32)
        signature = mixed.min(axis=1).reshape(_BANDS, _ROWS)
        for band in range(_BANDS):
            buckets[bytes([band]) + signature[band].tobytes()].append(index)
    pairs = []
    for members in buckets.values():
        # Each against the bucket's first and its own predecessor: a bucket of thousands stays linear.
        for place in range(1, len(members)):
            for other in {0, place - 1}:
                left, right = members[other], members[place]
                common = len(shingles[left] & shingles[right])
                if common >= SIMILAR * (len(shingles[left]) + len(shingles[right]) - common):
                    pairs.append((left, right))
    return pairs
