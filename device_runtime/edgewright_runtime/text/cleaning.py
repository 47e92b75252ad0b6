"""What happens to a text before it is split: each step optional, each the same on every Python."""

import re
from functools import lru_cache
from typing import NamedTuple, Optional, Union

from ..errors import InputError

NORMALIZATIONS = (None, "NFC", "NFKC")
PUNCTUATION = ("keep", "drop")
NUMBERS = ("keep", "drop", "zeros")
STOP_WORDS_LIMIT = 100_000

_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # halves of a pair that stand for no byte


def decoded(text: Union[str, bytes]) -> str:
    """Text that UTF-8 can hold: what is broken becomes U+FFFD. Raises InputError for what is neither text nor bytes.

    A str may hold the bytes that a terminal or a file gave in no valid UTF-8, as Python's "surrogateescape" keeps them.
    """
    if isinstance(text, bytes):
        return text.decode("utf-8", "replace")
    if not isinstance(text, str):
        raise InputError(f"The tokenizer takes text, not {type(text).__name__}: give it a string.")
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _NO_BYTE.sub("\ufffd", text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text


class _Steps(NamedTuple):
    normalization: Optional[str]
    lowercase: bool
    strip_accents: bool
    numbers: str
    punctuation: str
    stop_words: tuple[str, ...]


class Cleaning(_Steps):
    """The steps, in this order.

    normalization: "NFC" (the same letters written differently become equal), "NFKC" (also ﬁ = fi, ² = 2), or None.
    lowercase: all letters small. strip_accents: drop the combining marks that all scripts share (é = e; vowel signs of
    Indic, Hebrew or Arabic writing stay). numbers: "keep", "drop", or "zeros" for each digit. punctuation: "keep", or
    "drop" it and all symbols. stop_words: words to leave out, compared after the steps before.

    Raises InputError for anything else.
    """

    __slots__ = ()

    def __new__(
        cls,
        normalization: Optional[str] = "NFC",
        lowercase: bool = False,
        strip_accents: bool = False,
        numbers: str = "keep",
        punctuation: str = "keep",
        stop_words: tuple[str, ...] = (),
    ) -> "Cleaning":
        for name, known, given in (
            ("normalization", NORMALIZATIONS, normalization),
            ("numbers", NUMBERS, numbers),
            ("punctuation", PUNCTUATION, punctuation),
        ):
            if given not in known:
                options = ", ".join("none" if choice is None else choice for choice in known)
                raise InputError(f"The cleaning's {name} is one of {options}, not {given!r}.")
        if type(lowercase) is not bool or type(strip_accents) is not bool:
            raise InputError("The cleaning's lowercase and strip_accents are true or false.")
        strings = isinstance(stop_words, tuple) and all(isinstance(word, str) for word in stop_words)
        if not strings or len(stop_words) > STOP_WORDS_LIMIT:
            raise InputError(f"The cleaning's stop words are a row of words, {STOP_WORDS_LIMIT:,} at most.")
        return super().__new__(cls, normalization, lowercase, strip_accents, numbers, punctuation, stop_words)

    def clean(self, text: Union[str, bytes]) -> str:
        """The text after all steps. Raises InputError for what is neither text nor bytes."""
        text = decoded(text)
        if self.normalization is not None and not text.isascii():
            from .normalization import normalize

            text = normalize(self.normalization, text)  # type: ignore[arg-type]  # one of NORMALIZATIONS
        if self.lowercase and text.isascii():
            text = text.lower()
        elif self.lowercase:
            from .normalization import lower

            text = lower(text)
        if self.strip_accents and not text.isascii():
            from .normalization import strip_accents

            text = strip_accents(text, self.normalization or "NFC")  # type: ignore[arg-type]
        if self.numbers != "keep" or self.punctuation != "keep":
            from .classes import Dropping

            text = text.translate(Dropping.of(self.numbers, self.punctuation))
        if self.stop_words:
            from .words import spans

            stopped = _set(self.stop_words)
            kept, end = [], 0
            for start, stop, word in spans(text):
                if word in stopped:
                    kept.append(text[end:start])
                    end = stop
            text = "".join(kept) + text[end:]
        return text


@lru_cache(maxsize=8)
def _set(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(words)
