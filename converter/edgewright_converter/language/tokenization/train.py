"""Learn a tokenizer from texts: words and characters by their counts, pieces of words with the tokenizers library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import KINDS, Cleaning, Tokenizer
from edgewright_runtime.text.model import VOCABULARY_LIMIT, Model

from . import pieces

Special = dict[str, str]  # name → how its id is spelled, in the order of the ids

_SPELLED = {"pad": "[PAD]", "unknown": "[UNK]", "begin": "[BEGIN]", "end": "[END]", "mask": "[MASK]"}


def train_tokenizer(
    texts: Iterable[str],
    *,
    kind: str,
    size: int,
    max_length: int,
    cleaning: Cleaning = Cleaning(),  # noqa: B008 - frozen
    truncation: str = "head",
    pooling: str | None = None,
    stride: int | None = None,
    special: Sequence[str] = (),
    **options: Any,
) -> Tokenizer:
    """A tokenizer of at most ``size`` ids. The same texts, in any order, give the same one.

    kind: one of KINDS. special: names of ids that no text gives: "begin" and "end" stand around each encoded text,
    "mask" hides a piece, any other serves the user. options, of the kind "hashed": buckets (half of size, or with
    whole all of it), characters (3, 5), words (2), whole, signs, stem, as in
    ``HashedWords``. The rest as in ``Tokenizer``. Raises InputError.
    """
    if kind not in KINDS:
        raise InputError(f"There is no tokenizer of the kind {kind!r}: expected one of {', '.join(KINDS)}.")
    known = {"buckets", "characters", "words", "whole", "signs", "stem"} if kind == "hashed" else set()
    if set(options) - known:
        raise InputError(f"A tokenizer of the kind {kind} has no option {', '.join(sorted(set(options) - known))}.")
    names = _special(kind, special)
    if not len(names) < size <= VOCABULARY_LIMIT:
        raise InputError(f"A tokenizer's size is {len(names) + 1} to {VOCABULARY_LIMIT:,} ids here, not {size}.")
    cleaned = [cleaning.clean(text) for text in texts]
    model = _LEARNERS[kind](cleaned, size, names, **options)
    if model.size == len(names):
        raise InputError(f"The texts hold nothing that a tokenizer of the kind {kind} could learn: give more of them.")
    return Tokenizer(model, max_length, cleaning=cleaning, truncation=truncation, pooling=pooling, stride=stride)


def _special(kind: str, names: Sequence[str]) -> Special:
    roles = ["pad"] if kind == "bpe" else ["pad", "unknown"]
    if len({*roles, *names}) != len(roles) + len(names) or not all(name.isidentifier() for name in names):
        raise InputError(
            "The names of a tokenizer's special ids are words, each once, pad and unknown not among them: "
            f"not {', '.join(names)}."
        )
    return {name: _SPELLED.get(name, f"[{name.upper()}]") for name in [*roles, *names]}


def _model(model: type[Model], special: Special, learned: Sequence[str], **options: Any) -> Model:
    return model((*special.values(), *learned), {name: index for index, name in enumerate(special)}, **options)


def _most_frequent(counts: Counter[str], size: int) -> list[str]:
    return sorted(counts, key=lambda piece: (-counts[piece], piece))[: max(0, size)]


def _words(texts: list[str], size: int, special: Special) -> Model:
    from edgewright_runtime.text.words import Words, words

    counts = Counter(word for text in texts for word in words(text))
    return _model(Words, special, _most_frequent(counts, size - len(special)))


def _hashed(texts: list[str], size: int, special: Special, buckets: int | None = None, **options: Any) -> Model:
    from edgewright_runtime.text.hashed import HashedWords
    from edgewright_runtime.text.words import words

    if buckets is None:
        buckets = size - len(special) if options.get("whole") else max(1, size // 2)
    room = size - len(special) - buckets
    signs = bool(options.get("signs"))
    counts = Counter(word for text in texts for word in words(text, signs=signs)) if room > 0 else Counter[str]()
    return _model(HashedWords, special, _most_frequent(counts, room), buckets=buckets, **options)


def _characters(texts: list[str], size: int, special: Special) -> Model:
    from edgewright_runtime.text.characters import Characters

    counts = Counter(character for text in texts for character in text)
    return _model(Characters, special, _most_frequent(counts, size - len(special)))


def _bpe(texts: list[str], size: int, special: Special) -> Model:
    from edgewright_runtime.text.bpe import BytePairs

    learned, merges = pieces.byte_pairs(texts, size - len(special))
    ids = {piece: index for index, piece in enumerate(learned, len(special))}
    return _model(BytePairs, special, learned, merges=[(ids[left], ids[right]) for left, right in merges])


def _wordpiece(texts: list[str], size: int, special: Special) -> Model:
    from edgewright_runtime.text.wordpiece import WordPieces

    bare = WordPieces(tuple(special.values()), {name: index for index, name in enumerate(special)})
    return _model(
        WordPieces, special, pieces.word_pieces([list(bare.words(text)) for text in texts], size - len(special))
    )


def _unigram(texts: list[str], size: int, special: Special) -> Model:
    from edgewright_runtime.text.unigram import Unigram

    learned = pieces.unigram(texts, size - len(special))
    scores = [0.0] * len(special) + [score for _, score in learned]
    return _model(Unigram, special, [piece for piece, _ in learned], scores=scores)


_LEARNERS = {
    "words": _words,
    "characters": _characters,
    "bpe": _bpe,
    "wordpiece": _wordpiece,
    "unigram": _unigram,
    "hashed": _hashed,
}
