"""What every kind of splitting has in common: a vocabulary in which some ids are special."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Optional, TypeVar

from ..errors import InputError

VOCABULARY_LIMIT = 1_000_000
PIECE_LIMIT = 1_000  # characters
AnyModel = TypeVar("AnyModel", bound="Model")


class Model(ABC):
    """vocabulary: the pieces in the order of their ids. special: what names mean, as ids; "pad" among them, and where a
    text may hold what no piece spells, "unknown". No text gives a special id but that one.

    Raises InputError where these are not usable.
    """

    kind = ""
    needs_unknown = True

    def __init__(self, vocabulary: tuple[str, ...], special: Mapping[str, int]) -> None:
        if len(vocabulary) > VOCABULARY_LIMIT or not all(
            isinstance(piece, str) and 1 <= len(piece) <= PIECE_LIMIT for piece in vocabulary
        ):
            raise InputError(
                f"A tokenizer has {VOCABULARY_LIMIT:,} pieces at most, of 1 to {PIECE_LIMIT} characters."
            )
        wanted = ["pad", "unknown"] if self.needs_unknown else ["pad"]
        ids = [special[name] for name in special]
        if not all(type(index) is int and 0 <= index < len(vocabulary) for index in ids) or not all(
            name in special for name in wanted
        ):
            raise InputError(
                f"A tokenizer's special pieces have names and ids of the vocabulary, {' and '.join(wanted)} too."
            )
        self.vocabulary = vocabulary
        self.special = dict(special)
        reserved = set(ids)
        self.ids_of = {piece: index for index, piece in enumerate(vocabulary) if index not in reserved}
        if len(self.ids_of) + len(reserved) != len(vocabulary):
            raise InputError("A tokenizer's vocabulary holds each piece once.")
        self.unknown = special.get("unknown", -1)
        self.reserved = reserved

    @property
    def size(self) -> int:
        """How many ids there are."""
        return len(self.vocabulary)

    @abstractmethod
    def ids(self, text: str) -> Iterator[int]:
        """The ids of a cleaned text, one after the other."""

    @abstractmethod
    def spelling(self, index: int, first: bool) -> Optional[bytes]:
        """What an id that is not special adds to a text, in UTF-8; first: it is the first that does. None: nothing."""

    def pieces(self) -> tuple[str, ...]:
        """Those of the vocabulary that the JSON document lists."""
        return self.vocabulary

    def options(self) -> dict[str, Any]:
        """What the kind needs beyond the vocabulary: values of JSON."""
        return {}

    @classmethod
    def from_options(
        cls: type[AnyModel], vocabulary: tuple[str, ...], special: Mapping[str, int], options: dict[str, Any]
    ) -> AnyModel:
        """The opposite of ``options``. Raises InputError."""
        if options:
            raise InputError(f"A tokenizer of the kind {cls.kind} has no options.")
        return cls(vocabulary, special)
