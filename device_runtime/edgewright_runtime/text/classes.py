"""Classes of characters, the same on every Python: unicodedata's answers change with its version, these do not."""

import re
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from typing import Union

from .tables import CLASSES


class Ranges:
    """A set of characters. packed: pairs of a gap and a range of code points, in base 36."""

    def __init__(self, packed: str) -> None:
        self._borders = list(accumulate(int(length, 36) for length in packed.split()))

    def __contains__(self, character: str) -> bool:
        return bool(bisect_right(self._borders, ord(character)) & 1)


@lru_cache(maxsize=1)
def _runs() -> tuple[list[int], str]:
    """(where each run ends, the class of each)."""
    runs = re.findall("([A-Z])([0-9a-z]*)", CLASSES)
    return list(accumulate(int(length or "1", 36) for _, length in runs)), "".join(kind for kind, _ in runs)


def class_of(character: str) -> str:
    """L(etter), M(ark), N(umber), P(unctuation), S(ymbol), Z (space), F(ormat, invisible) or C for all others."""
    ends, kinds = _runs()
    return kinds[bisect_right(ends, ord(character))]


def is_space(character: str) -> bool:
    """White space, as Unicode's property of that name."""
    return character in "\t\n\v\f\r\x85" or class_of(character) == "Z"


class Dropping(dict[int, Union[int, str]]):
    """For str.translate: numbers or punctuation and symbols to spaces, or digits to zeros, as characters come."""

    def __init__(self, numbers: str, punctuation: str) -> None:
        self._numbers, self._punctuation = numbers, punctuation

    @classmethod
    @lru_cache(maxsize=8)
    def of(cls, numbers: str, punctuation: str) -> "Dropping":
        return cls(numbers, punctuation)

    def __missing__(self, code: int) -> Union[int, str]:
        kind = class_of(chr(code))
        kept: Union[int, str] = code
        if kind == "N" and self._numbers != "keep":
            kept = " " if self._numbers == "drop" else "0"
        elif kind in "PS" and self._punctuation == "drop":
            kept = " "
        self[code] = kept
        return kept
