"""Ids back to text, as they come."""

from codecs import getincrementaldecoder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tokenizer import Tokenizer

_Utf8 = getincrementaldecoder("utf-8")


class Decoder:
    """Ids in, text out as soon as whole characters exist. All that is given out, joined, is ``Tokenizer.decode``'s."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._model = tokenizer.model
        self._utf8 = _Utf8("replace")
        self._first = True

    def push(self, index: int) -> str:
        """What can be said after one more id; special ids say nothing. Raises InputError for an id out of range."""
        if not 0 <= index < self._model.size:
            from ..errors import InputError

            raise InputError(f"The tokenizer has the ids 0 to {self._model.size - 1}, not {index}.")
        if index in self._model.reserved:
            return ""
        spelling = self._model.spelling(index, self._first)
        if spelling is None:
            return ""
        self._first = False
        return self._utf8.decode(spelling)

    def finish(self) -> str:
        """What is left: U+FFFD for a character that was cut off. The next id begins a new text."""
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        self._first = True
        return rest
