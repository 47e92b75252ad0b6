"""WordPiece (BERT's): a word is its longest known beginning, then the longest known continuations ("##…").

Words are what stands between white space; a punctuation mark is a word of its own, and so is a Chinese character.
A word that cannot be spelled so, or has more than 100 characters, is one unknown id. Source: Devlin et al. 2018.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any

from ..errors import InputError
from .bert_tables import ACCENTS, CONTROL, PUNCTUATION
from .classes import Ranges, is_space
from .model import Model

WORD_LIMIT = 100  # characters
CONTINUES = "##"
_KEPT = 8192  # words whose ids are remembered
_CHINESE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)
# What BERT's decoder writes without the space before it, at the beginning of a piece.
_TIGHT = (" .", " ?", " !", " ,", " n't", " 'm", " 's", " 've", " 're")


class _Splitting(dict[int, str]):
    """For str.translate: what becomes of each character met so far before the text is cut at its spaces."""

    def __init__(self, clean: bool, chinese: bool) -> None:
        self._clean, self._chinese = clean, chinese

    def __missing__(self, code: int) -> str:
        character = chr(code)
        alone = character in _punctuation() or (self._chinese and any(low <= code <= high for low, high in _CHINESE))
        if self._clean and character in _control():  # before white space: some of it counts as control characters
            become = ""
        elif is_space(character):
            become = " "
        else:
            become = f" {character} " if alone else character
        self[code] = become
        return become


@lru_cache(maxsize=1)
def _punctuation() -> Ranges:
    return Ranges(PUNCTUATION)


@lru_cache(maxsize=1)
def _control() -> Ranges:
    return Ranges(CONTROL)


@lru_cache(maxsize=1)
def _accents() -> Ranges:
    return Ranges(ACCENTS)


class WordPieces(Model):
    """clean: leave out control characters; chinese: a word for each Chinese character; strip_accents: all
    marks without width, as BERT does; lowercase: after that.
    """

    kind = "wordpiece"

    def __init__(
        self,
        vocabulary: tuple[str, ...],
        special: Mapping[str, int],
        *,
        clean: bool = True,
        chinese: bool = True,
        strip_accents: bool = False,
        lowercase: bool = False,
    ) -> None:
        super().__init__(vocabulary, special)
        self._options = {"chinese": chinese, "clean": clean, "lowercase": lowercase, "strip_accents": strip_accents}
        if not all(type(option) is bool for option in self._options.values()):
            raise InputError(f"A WordPiece tokenizer's {', '.join(self._options)} are true or false.")
        self._splitting = _Splitting(clean, chinese)
        self._strip_accents, self._lowercase = strip_accents, lowercase
        self._longest = max(map(len, self.ids_of), default=0)
        self._known: dict[str, list[int]] = {}

    def words(self, text: str) -> Iterator[str]:
        """What the pieces are cut from."""
        if self._strip_accents and not text.isascii():
            text = self._without_accents(text)
        if self._lowercase:
            from .normalization import lower

            text = text.lower() if text.isascii() else lower(text)
        return iter(text.translate(self._splitting).split(" "))

    def _without_accents(self, text: str) -> str:
        from .normalization import normalize

        if self._options["clean"]:  # before, as BERT does: what it leaves out can stand between a letter and its mark
            text = text.translate({ord(character): None for character in set(text) if character in _control()})
        decomposed = normalize("NFD", text)
        return decomposed.translate({ord(mark): None for mark in set(decomposed) if mark in _accents()})

    def ids(self, text: str) -> Iterator[int]:
        return chain.from_iterable(self._pieces(word) for word in self.words(text) if word)

    def _pieces(self, word: str) -> list[int]:
        found = self._known.get(word)
        if found is None:
            found = self._cut(word) if len(word) <= WORD_LIMIT else [self.unknown]
            if len(word) <= WORD_LIMIT:
                if len(self._known) >= _KEPT:
                    self._known.clear()
                self._known[word] = found
        return found

    def _cut(self, word: str) -> list[int]:
        ids, start, length, find = [], 0, len(word), self.ids_of.get
        while start < length:
            mark = CONTINUES if start else ""
            for end in range(min(length, start + self._longest), start, -1):
                index = find(mark + word[start:end])
                if index is not None:
                    break
            else:
                return [self.unknown]
            ids.append(index)
            start = end
        return ids

    def spelling(self, index: int, first: bool) -> bytes:
        piece = self.vocabulary[index]
        if piece.startswith(CONTINUES):
            return piece[len(CONTINUES) :].encode()
        if first:
            return piece.encode()
        spaced = f" {piece}"
        return (piece if spaced.startswith(_TIGHT) else spaced).encode()

    def options(self) -> dict[str, Any]:
        return dict(self._options)

    @classmethod
    def from_options(
        cls, vocabulary: tuple[str, ...], special: Mapping[str, int], options: dict[str, Any]
    ) -> "WordPieces":
        if set(options) != {"chinese", "clean", "lowercase", "strip_accents"}:
            raise InputError("A WordPiece tokenizer has the options chinese, clean, lowercase and strip_accents.")
        return cls(vocabulary, special, **options)
