"""Words and hashed n-grams (fastText's): an id for each known word, and numbered buckets for what has no id of its own.

Each word gives its id, if it is known, then a bucket for each of its n-grams of characters, "<" before and ">" behind
it; then come the buckets of the rows of words that end with it. A bucket is a CRC-32 of UTF-8, so that two different
n-grams may share one. With ``whole`` a word without an id has a bucket too, and no vocabulary is needed at all.
Source: Bojanowski et al. 2016; Joulin et al. 2016.
"""

from binascii import crc32
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from ..errors import InputError
from .model import VOCABULARY_LIMIT, Model
from .words import WORD_LIMIT, words

NGRAM_LIMIT = 8
_MORE = ("whole", "signs", "stem")  # options that a document names where they are set
_KEPT = 8192  # words whose ids are remembered


class HashedWords(Model):
    """buckets: how many ids follow those of the vocabulary; characters: the shortest and the longest n-gram of
    characters, or (0, 0) for none; words: the longest row of words that has a bucket, or 1 for none; whole: whether a
    word without an id has one; signs: whether runs of punctuation and symbols are words; stem: how many letters of each
    word count in a row, or 0 for all.
    """

    kind = "hashed"

    def __init__(
        self,
        vocabulary: tuple[str, ...],
        special: Mapping[str, int],
        buckets: int,
        characters: tuple[int, int] = (3, 5),
        words: int = 2,
        whole: bool = False,
        signs: bool = False,
        stem: int = 0,
    ) -> None:
        super().__init__(vocabulary, special)
        if not isinstance(characters, tuple) or len(characters) != 2:
            raise InputError(
                f"A hashed tokenizer's characters are two numbers, the least and the most: {characters!r}."
            )
        shortest, longest = characters
        numbers = all(type(number) is int for number in (buckets, shortest, longest, words))
        if not numbers or not 1 <= buckets <= VOCABULARY_LIMIT or not 1 <= words <= NGRAM_LIMIT:
            raise InputError(
                f"A hashed tokenizer has 1 to {VOCABULARY_LIMIT:,} buckets, and rows of 1 to {NGRAM_LIMIT} words."
            )
        if characters != (0, 0) and not 1 <= shortest <= longest <= NGRAM_LIMIT:
            raise InputError(f"A hashed tokenizer's n-grams have 1 to {NGRAM_LIMIT} characters, the shortest first.")
        if type(whole) is not bool or type(signs) is not bool:
            raise InputError("A hashed tokenizer's whole and signs are true or false.")
        if type(stem) is not int or not 0 <= stem <= WORD_LIMIT:
            raise InputError(f"A hashed tokenizer's stem is 0 to {WORD_LIMIT} letters.")
        self.buckets, self.characters, self.words = buckets, characters, words
        self.whole, self.signs, self.stem = whole, signs, stem
        self._known: dict[str, list[int]] = {}

    @property
    def size(self) -> int:
        return len(self.vocabulary) + self.buckets

    def ids(self, text: str) -> Iterator[int]:
        row: list[str] = []
        known = self._known
        for word in words(text, signs=self.signs):
            found = known.get(word)
            if found is None:
                found = self._of_word(word)
                if len(known) >= _KEPT:
                    known.clear()
                known[word] = found
            yield from found
            row = [*row[-(self.words - 1) :], word[: self.stem or None]] if self.words > 1 else []
            for length in range(2, len(row) + 1):
                yield self._bucket(" ".join(row[-length:]))

    def _of_word(self, word: str) -> list[int]:
        found = [self.ids_of[word]] if word in self.ids_of else [self._bucket(word)] if self.whole else []
        shortest, longest = self.characters
        if longest:
            framed = f"<{word}>"
            for length in range(shortest, longest + 1):
                found += [self._bucket(framed[at : at + length]) for at in range(len(framed) - length + 1)]
        return found or [self.unknown]

    def _bucket(self, ngram: str) -> int:
        return len(self.vocabulary) + crc32(ngram.encode()) % self.buckets

    def spelling(self, index: int, first: bool) -> Optional[bytes]:
        if index >= len(self.vocabulary):
            return None
        return (self.vocabulary[index] if first else " " + self.vocabulary[index]).encode()

    def options(self) -> dict[str, Any]:
        more = {name: getattr(self, name) for name in _MORE if getattr(self, name)}
        return {"buckets": self.buckets, "characters": list(self.characters), "words": self.words, **more}

    @classmethod
    def from_options(
        cls, vocabulary: tuple[str, ...], special: Mapping[str, int], options: dict[str, Any]
    ) -> "HashedWords":
        characters = options.get("characters")
        if (
            set(options) - set(_MORE) != {"buckets", "characters", "words"}
            or not isinstance(characters, list)
            or len(characters) != 2
        ):
            raise InputError(
                "A hashed tokenizer has the options buckets, words, and characters: the least and the most."
            )
        return cls(vocabulary, special, **{**options, "characters": (characters[0], characters[1])})
