"""Texts, slightly changed: the operations of Wei and Zou 2019 (EDA), noise of typing, mixing, other fillers of slots.

operation    its probability is for     what happens
synonyms     a word                     becomes a synonym; without one, a neighbour by embedding where those are given
neighbours   a word                     becomes one of its nearest words by embedding
insert       a word                     is followed by a synonym of a word of the text, or by a word of another text
swap         a word                     changes places with the next
delete       a word                     vanishes; one always stays
noise        a letter                   is left out, doubled, changes places with the next, or is one of the corpus
typos        a letter                   becomes a key beside it
mix          a text                     its first half is joined to the second half of another of its class
fill         a slot's filler            becomes another filler of the same slot

A word is what stands between blanks; what is not a letter at its ends stays where it is. Texts of scripts that put no
blanks between words are changed character by character. A letter is one with its combining marks.
"""

import random
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar
from unicodedata import category

from edgewright_runtime.errors import InputError
from edgewright_runtime.text.words import words

from .keyboards import NEIGHBOUR_KEYS
from .lexicon import Lexicon

Label = TypeVar("Label", bound=Hashable)
PROBABILITIES = ("synonyms", "neighbours", "insert", "swap", "delete", "noise", "typos", "mix", "fill")
_POOL = 20_000  # words and letters of the corpus that insertions and noise draw from


@dataclass(frozen=True)
class Augmenter:
    """The probabilities of this file's table, 0 to 1, and what their operations draw from.

    lexicon, embedding: synonyms of a word, best first. slots: slot name → its fillers. keyboard: "qwerty", "qwertz" or
    "azerty". Raises InputError for a probability beyond its range, or one whose source is missing.
    """

    synonyms: float = 0.0
    neighbours: float = 0.0
    insert: float = 0.0
    swap: float = 0.0
    delete: float = 0.0
    noise: float = 0.0
    typos: float = 0.0
    mix: float = 0.0
    fill: float = 0.0
    lexicon: Lexicon | None = None
    embedding: Lexicon | None = None
    slots: Mapping[str, Sequence[str]] | None = None
    keyboard: str = "qwerty"

    def __post_init__(self) -> None:
        for name in PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"The probability {name} is {getattr(self, name):g}: expected 0 to 1.")
        for name, source in (("synonyms", self.lexicon), ("neighbours", self.embedding), ("fill", self.slots)):
            if getattr(self, name) and not source:
                raise InputError(f"The probability {name} needs a file: write {name}={getattr(self, name):g}:FILE.")
        if self.keyboard not in NEIGHBOUR_KEYS:
            raise InputError(f"There is no keyboard {self.keyboard!r}: choose one of {', '.join(NEIGHBOUR_KEYS)}.")

    def __call__(
        self, texts: Sequence[str], labels: Sequence[Label] | None = None, seed: int = 0
    ) -> Iterator[tuple[str, Label | None]]:
        """One changed copy of each text, with its label, in order, as it is asked for.

        What becomes of a text depends on the seed, its place and the corpus alone. Without labels, all texts are of one
        class.
        """
        corpus = _Pool(texts, labels, self)
        for index, text in enumerate(texts):
            label = None if labels is None else labels[index]
            yield self._changed(text, label, corpus, random.Random(f"augment/{seed}/{index}")), label

    def describe(self) -> str:
        """"swap=0.1,delete=0.05", for records."""
        named = ((field.name, getattr(self, field.name)) for field in fields(self) if field.name in PROBABILITIES)
        return ",".join(f"{name}={value:g}" for name, value in named if value)

    def _changed(self, text: str, label: object, corpus: "_Pool", rng: random.Random) -> str:
        if self.mix and rng.random() < self.mix:
            text = _mixed(text, corpus.other(label, rng))
        if self.fill:
            text = self._filled(text, corpus, rng)
        pieces, joint = _pieces(text)
        if self.synonyms or self.neighbours:
            pieces = [self._replaced(piece, rng) for piece in pieces]
        if self.insert:
            pieces = self._inserted(pieces, corpus, rng)
        if self.swap:
            for left in range(len(pieces) - 1):
                if rng.random() < self.swap:
                    pieces[left], pieces[left + 1] = pieces[left + 1], pieces[left]
        if self.delete:
            pieces = [piece for piece in pieces if rng.random() >= self.delete] or [rng.choice(pieces or [""])]
        changed = joint.join(pieces)
        if self.noise:
            changed = _noisy(changed, self.noise, corpus.letters, rng)
        if self.typos:
            keys = NEIGHBOUR_KEYS[self.keyboard]
            changed = "".join(_mistyped(key, keys, rng) if rng.random() < self.typos else key for key in changed)
        return changed if changed.strip() else text

    def _replaced(self, piece: str, rng: random.Random) -> str:
        before, word, after = _core(piece)
        found: Sequence[str] = ()
        if word and self.synonyms and rng.random() < self.synonyms:
            assert self.lexicon is not None
            found = self.lexicon(word.lower())
            if not found and self.embedding is not None:
                found = self.embedding(word.lower())
        elif word and self.neighbours and rng.random() < self.neighbours:
            assert self.embedding is not None
            found = self.embedding(word.lower())
        return before + _cased(rng.choice(found), word) + after if found else piece

    def _inserted(self, pieces: list[str], corpus: "_Pool", rng: random.Random) -> list[str]:
        result = []
        for piece in pieces:
            result.append(piece)
            if rng.random() < self.insert:
                _, word, _ = _core(rng.choice(pieces))
                found = self.lexicon(word.lower()) if self.lexicon is not None and word else ()
                result.append(rng.choice(found or corpus.words or [piece]))
        return result

    def _filled(self, text: str, corpus: "_Pool", rng: random.Random) -> str:
        """Longest fillers first; what has been filled in is not looked at again."""
        pieces, joint = _pieces(text)
        result, at = [], 0
        while at < len(pieces):
            for length in range(min(corpus.longest_filler, len(pieces) - at), 0, -1):
                before, phrase, after = _core(joint.join(pieces[at : at + length]))
                fillers = corpus.fillers.get(phrase.lower())
                if fillers and rng.random() < self.fill:
                    result.append(before + _cased(rng.choice(fillers), phrase) + after)
                    at += length
                    break
            else:
                result.append(pieces[at])
                at += 1
        return joint.join(result)


class _Pool:
    """What changes draw from: the texts of each class, and the corpus' words and letters as often as they occur."""

    def __init__(self, texts: Sequence[str], labels: Sequence[Hashable] | None, augmenter: Augmenter) -> None:
        self._classes: dict[Hashable, list[str]] = defaultdict(list)
        if augmenter.mix:
            for index, text in enumerate(texts):
                self._classes[None if labels is None else labels[index]].append(text)
        self.words: list[str] = []
        self.letters: list[str] = []
        if augmenter.insert or augmenter.noise:
            for text in random.Random("pool").sample(list(texts), len(texts)):
                self.words += words(text)
                self.letters += [letter for letter in text if letter.isalpha()]
                if min(len(self.words), len(self.letters)) > _POOL:
                    break
        self.fillers: dict[str, list[str]] = {}
        for fillers in (augmenter.slots or {}).values():
            for filler in fillers:
                self.fillers.setdefault(filler.lower(), []).extend(other for other in fillers if other != filler)
        self.longest_filler = max((len(_pieces(filler)[0]) for filler in self.fillers), default=0)

    def other(self, label: object, rng: random.Random) -> str:
        return rng.choice(self._classes[label])


def _pieces(text: str) -> tuple[list[str], str]:
    """(pieces, what joins them again)"""
    pieces = text.split()
    if len(pieces) <= 1 and sum(1 for _ in words(text)) > 2:
        return _letters(text), ""
    return pieces, " "


def _core(piece: str) -> tuple[str, str, str]:
    """('"', "word", ".")"""
    low, high = 0, len(piece)
    while low < high and category(piece[low])[0] not in "LNM":
        low += 1
    while high > low and category(piece[high - 1])[0] not in "LNM":
        high -= 1
    return piece[:low], piece[low:high], piece[high:]


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def _letters(text: str) -> list[str]:
    """Characters, each with the combining marks that follow it."""
    found: list[str] = []
    for character in text:
        if found and category(character)[0] == "M":
            found[-1] += character
        else:
            found.append(character)
    return found


def _mixed(text: str, other: str) -> str:
    (left, joint), (right, _) = _pieces(text), _pieces(other)
    return joint.join([*left[: (len(left) + 1) // 2], *right[len(right) // 2 :]]) if left and right else text


def _noisy(text: str, share: float, alphabet: Sequence[str], rng: random.Random) -> str:
    letters = _letters(text)
    result: list[str] = []
    at = 0
    while at < len(letters):
        letter = letters[at]
        at += 1
        if letter.isspace() or rng.random() >= share:
            result.append(letter)
            continue
        kind = rng.randrange(4)
        if kind == 1:
            result += [letter, letter]
        elif kind == 2 and at < len(letters):
            result += [letters[at], letter]
            at += 1
        elif kind == 3 and alphabet:
            result.append(rng.choice(alphabet))
    return "".join(result)


def _mistyped(letter: str, keys: Mapping[str, str], rng: random.Random) -> str:
    near = keys.get(letter.lower())
    if not near:
        return letter
    return rng.choice(near).upper() if letter.isupper() else rng.choice(near)
