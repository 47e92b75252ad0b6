"""A text's ids, of one length: what the host trains with and the device answers with."""

import json
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import islice
from typing import Any, Optional, Union

import numpy as np

from ..errors import InputError
from .cleaning import Cleaning
from .decoder import Decoder
from .model import Model

LENGTH_LIMIT = 65_536
WINDOWS_LIMIT = 256  # of one text: those of a longer one are spread evenly over it
_SETTINGS = ("max_length", "truncation", "pooling", "stride", "begin", "end")
TRUNCATIONS = ("head", "tail", "both")
POOLINGS = (None, "mean", "max")
_CLASSES = {
    "words": ("words", "Words"),
    "characters": ("characters", "Characters"),
    "bpe": ("bpe", "BytePairs"),
    "wordpiece": ("wordpiece", "WordPieces"),
    "unigram": ("unigram", "Unigram"),
    "hashed": ("hashed", "HashedWords"),
}
KINDS = tuple(_CLASSES)

Ids = np.ndarray[Any, np.dtype[np.int32]]


class Tokenizer:
    """model: a kind of splitting with its vocabulary; max_length: of every encoded text, in ids.

    cleaning: what happens to a text before. truncation: which part of a long text stays, its "head", its "tail", or
    "both" halves. pooling: how the answers for the windows of a long text become one, "mean" or "max"; None: it is cut.
    stride: how many ids apart windows begin, half a window by default. begin, end: whether an encoded text begins and
    ends with the special ids of these names. Raises InputError where these do not fit together.
    """

    def __init__(
        self,
        model: Model,
        max_length: int,
        *,
        cleaning: Cleaning = Cleaning(),  # noqa: B008 - frozen
        truncation: str = "head",
        pooling: Optional[str] = None,
        stride: Optional[int] = None,
        begin: Optional[bool] = None,
        end: Optional[bool] = None,
    ) -> None:
        self.model = model
        self.cleaning = cleaning
        self.max_length = max_length
        self.truncation = truncation
        self.pooling = pooling
        self.begin = model.special.get("begin") is not None if begin is None else begin
        self.end = model.special.get("end") is not None if end is None else end
        if type(max_length) is not int or not 1 <= max_length <= LENGTH_LIMIT:
            raise InputError(f"A tokenizer's max_length is a whole number from 1 to {LENGTH_LIMIT}.")
        if truncation not in TRUNCATIONS or pooling not in POOLINGS:
            raise InputError(
                f"A tokenizer's truncation is {', '.join(TRUNCATIONS)}, its pooling mean, max or none, "
                f"not {truncation!r} and {pooling!r}."
            )
        if type(self.begin) is not bool or type(self.end) is not bool:
            raise InputError("A tokenizer's begin and end are true or false.")
        if (self.begin and self.begin_id is None) or (self.end and self.end_id is None):
            raise InputError("A tokenizer that puts a begin or an end around texts has special pieces of these names.")
        self.room = max_length - self.begin - self.end
        if self.room < 1:
            raise InputError(f"A tokenizer's max_length has room for a piece of text, which {max_length} has not.")
        self.stride = max(1, self.room // 2) if stride is None else stride
        if type(self.stride) is not int or not 1 <= self.stride <= self.room:
            raise InputError(f"A tokenizer's stride is a whole number from 1 to {self.room} here, not {stride!r}.")

    @property
    def kind(self) -> str:
        """One of KINDS."""
        return self.model.kind

    @property
    def size(self) -> int:
        """How many ids there are: the rows that a model's embedding needs."""
        return self.model.size

    @property
    def pad_id(self) -> int:
        return self.model.special["pad"]

    @property
    def unknown_id(self) -> Optional[int]:
        return self.model.special.get("unknown")

    @property
    def begin_id(self) -> Optional[int]:
        return self.model.special.get("begin")

    @property
    def end_id(self) -> Optional[int]:
        return self.model.special.get("end")

    @property
    def mask_id(self) -> Optional[int]:
        return self.model.special.get("mask")

    def facts(self) -> dict[str, Any]:
        """What there is to know of it but its vocabulary: values of JSON."""
        return {
            "kind": self.kind,
            "size": self.size,
            "cleaning": {**self.cleaning._asdict(), "stop_words": len(self.cleaning.stop_words)},
            "special": self.model.special,
            **{name: getattr(self, name) for name in _SETTINGS},
        }

    def describe(self) -> str:
        """A line for people: kind, size, length, and what happens to longer texts."""
        if self.pooling is None:
            longer = f"the {self.truncation} of longer ones"
        else:
            longer = f"longer ones in windows, {self.pooling} of the answers"
        return f"{self.kind}, {self.size:,} ids, texts of {self.max_length} ids, {longer}"

    def ids(self, text: Union[str, bytes]) -> list[int]:
        """All ids of a text, without begin, end and padding. Raises InputError for what is neither text nor bytes."""
        return list(self._ids(text))

    def _ids(self, text: Union[str, bytes]) -> Iterator[int]:
        return self.model.ids(self.cleaning.clean(text))

    def encode(self, text: Union[str, bytes]) -> Ids:
        """(max_length,) int32: the ids, cut to what fits and padded. Raises InputError as ``ids`` does."""
        room = self.room
        if self.truncation == "head":
            return self._frame(islice(self._ids(text), room))
        ids = self.ids(text)
        if len(ids) > room:
            head = room // 2 if self.truncation == "both" else 0
            ids = ids[:head] + ids[len(ids) - (room - head) :]
        return self._frame(ids)

    def windows(self, text: Union[str, bytes]) -> Ids:
        """(n, max_length) int32: one window or as many as the text needs; the last one ends where the text ends.

        A tokenizer without pooling gives one. Raises InputError as ``ids`` does.
        """
        if self.pooling is None:
            return self.encode(text)[np.newaxis]
        ids, room = self.ids(text), self.room
        if len(ids) <= room:
            return self._frame(ids)[np.newaxis]
        last = len(ids) - room
        starts = [*range(0, last, self.stride), last]
        if len(starts) > WINDOWS_LIMIT:
            starts = [last * index // (WINDOWS_LIMIT - 1) for index in range(WINDOWS_LIMIT)]
        return np.stack([self._frame(ids[start : start + room]) for start in starts])

    def _frame(self, ids: Iterable[int]) -> Ids:
        row = [self.model.special["begin"]] if self.begin else []
        row.extend(ids)
        if self.end:
            row.append(self.model.special["end"])
        framed = np.full(self.max_length, self.pad_id, np.int32)
        framed[: len(row)] = row
        return framed

    def decode(self, ids: Iterable[int]) -> str:
        """The text that ids spell; special ones spell nothing. Raises InputError for an id out of range."""
        decoder = Decoder(self)
        return "".join([decoder.push(int(index)) for index in ids]) + decoder.finish()

    def to_json(self) -> bytes:
        """Canonical: the same tokenizer gives the same bytes."""
        model, pieces = self.model, self.model.pieces()
        document = {
            "kind": model.kind,
            "cleaning": self.cleaning._asdict(),
            **{name: getattr(self, name) for name in _SETTINGS},
            "special": model.special,
            "vocabulary": pieces if any(" " in piece for piece in pieces) else " ".join(pieces),
            "options": model.options(),
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8") + b"\n"

    @classmethod
    def from_json(cls, raw: bytes) -> "Tokenizer":
        """Raises InputError where it is not what ``to_json`` writes."""
        try:
            document = json.loads(raw.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError("The tokenizer is not readable as JSON: write it with Tokenizer.to_json.") from error
        keys = {"kind", "cleaning", "special", "vocabulary", "options", *_SETTINGS}
        if not isinstance(document, dict) or set(document) != keys:
            raise InputError(f"A tokenizer is a JSON object with exactly the keys {', '.join(sorted(keys))}.")
        kind, cleaning = document["kind"], document["cleaning"]
        if not isinstance(kind, str) or kind not in _CLASSES:
            raise InputError(f"A tokenizer's kind is one of {', '.join(KINDS)} here: upgrade edgewright for others.")
        steps = set(Cleaning._fields)
        if not isinstance(cleaning, dict) or set(cleaning) != steps:
            raise InputError(f"A tokenizer's cleaning has the keys {', '.join(sorted(steps))}.")
        if not isinstance(cleaning["stop_words"], list):
            raise InputError("A tokenizer's stop words are a list.")
        if not isinstance(document["special"], dict) or not isinstance(document["options"], dict):
            raise InputError("A tokenizer's special pieces and options are JSON objects.")
        vocabulary = document["vocabulary"]
        if not isinstance(vocabulary, (str, list)):
            raise InputError("A tokenizer's vocabulary is a list of pieces, or a string of them with spaces between.")
        pieces = tuple(vocabulary.split(" ") if isinstance(vocabulary, str) else vocabulary)
        model = model_of(kind).from_options(pieces, document["special"], document["options"])
        return cls(
            model,
            cleaning=Cleaning(**{**cleaning, "stop_words": tuple(cleaning["stop_words"])}),
            **{name: document[name] for name in _SETTINGS},
        )


def model_of(kind: str) -> type[Model]:
    """The class of a kind, imported now."""
    module, name = _CLASSES[kind]
    found: type[Model] = getattr(import_module(f"{__package__}.{module}"), name)
    return found
