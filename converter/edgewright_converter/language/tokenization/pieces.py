"""Pieces of words, learned with the tokenizers library so that the same texts give the same pieces.

The library keeps its counts in tables whose order differs from run to run. What that order decides is decided here:
which letters there are and their ids (WordPiece), and the last digits and the order of the scores (unigram).
"""

from __future__ import annotations

import json
from binascii import crc32
from collections import Counter
from collections.abc import Iterable
from typing import Any

from edgewright_runtime.errors import InputError

MIN_COUNT = 2  # of a pair that becomes a piece
WORD_LIMIT = 100  # characters; nothing is learned from a longer word
_TIMES, _WORDS_LIMIT = 64, 1_000_000
_DECIMALS = 3  # of a score: enough to tell pieces apart, and few bytes
_STEP = 0.0001  # between the scores of the letters that the library adds


def byte_pairs(texts: Iterable[str], size: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Pieces in the order of their ids, all 256 bytes first, and the merges. Raises InputError for a size below 256."""
    from tokenizers import models, pre_tokenizers, trainers

    if size < 256:
        raise InputError(f"A byte-level tokenizer has an id for each of the 256 bytes, so its size is not {size}.")
    learned = _learn(
        texts,
        models.BPE(),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=MIN_COUNT,
            show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        ),
    )
    vocabulary: dict[str, int] = learned["vocab"]
    return sorted(vocabulary, key=vocabulary.__getitem__), [(left, right) for left, right in learned["merges"]]


def word_pieces(texts: Iterable[list[str]], size: int) -> list[str]:
    """texts: each as its words. Returns the letters, alone and as continuations, then what was learned."""
    from tokenizers import models, pre_tokenizers, trainers

    counts = Counter(word for text in texts for word in text if word and len(word) <= WORD_LIMIT)
    letters: Counter[str] = Counter()
    for word, count in counts.items():
        for position, letter in enumerate(word):
            letters[letter if position == 0 else f"##{letter}"] += count
    # Half of the ids at most: what is left is for longer pieces.
    kept = sorted(letters, key=lambda letter: (-letters[letter], letter))[: max(1, size // 2)]
    known = set(kept)
    spelled = [word for word in counts if word[0] in known and all(f"##{letter}" in known for letter in word[1:])]
    learned = _learn(
        # A repeated word counts as often; the library takes whole texts, so each word comes in rows.
        (" ".join([word] * counts[word]) for word in sorted(spelled)),
        models.WordPiece(),
        pre_tokenizers.WhitespaceSplit(),
        # As "special" pieces the letters have their ids before anything is counted.
        trainers.WordPieceTrainer(
            vocab_size=size, min_frequency=MIN_COUNT, show_progress=False, special_tokens=sorted(kept)
        ),
    )
    vocabulary: dict[str, int] = learned["vocab"]
    return sorted(vocabulary, key=vocabulary.__getitem__)


def unigram(texts: Iterable[str], size: int) -> list[tuple[str, float]]:
    """(piece, score), the likeliest first."""
    from tokenizers import models, pre_tokenizers, trainers

    counts = Counter(word for text in texts for word in text.split(" ") if 0 < len(word) <= WORD_LIMIT)
    letters: Counter[str] = Counter()
    for word, count in counts.items():
        for letter in word:
            letters[letter] += count
    if not counts:
        return []
    # Half of the ids at most: what is left is for longer pieces. Words with rarer letters teach nothing.
    known = set(sorted(letters, key=lambda letter: (-letters[letter], letter))[: max(1, size // 2)])
    spelled = sorted(word for word in counts if known.issuperset(word))
    # The library adds up its expectations in an order of its own, whose last digits decide where words count alike.
    # So no two do: each counts up to a whole more often, as its own checksum says.
    times = max(1, min(_TIMES, _WORDS_LIMIT // sum(counts.values())))
    learned = _learn(
        (" ".join([word] * (counts[word] * times + crc32(word.encode()) % times)) for word in spelled),
        models.Unigram(),
        pre_tokenizers.Metaspace(),
        trainers.UnigramTrainer(vocab_size=size + 1, show_progress=False, special_tokens=["<unk>"], unk_token="<unk>"),
    )
    scores = {piece: score for piece, score in learned["vocab"] if piece != "<unk>"}
    # Letters that were added for completeness have the lowest score and, by a table's order, a little more: that goes.
    lowest = min(scores.values())
    added = lowest + _STEP * (len(known) + 1)
    rounded = {
        piece: round(lowest if len(piece) == 1 and score <= added else score, _DECIMALS)
        for piece, score in scores.items()
    }
    return sorted(rounded.items(), key=lambda entry: (-entry[1], entry[0]))[:size]


def _learn(texts: Iterable[str], model: Any, splitting: Any, trainer: Any) -> dict[str, Any]:
    """The learned model as the library writes it. Raises InputError where it learns nothing."""
    from tokenizers import Tokenizer

    library = Tokenizer(model)
    library.pre_tokenizer = splitting
    try:
        library.train_from_iterator(texts, trainer)
    except BaseException as error:  # its panics are no Exceptions
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise InputError(
            f"No tokenizer can be learned from these texts ({error}): give more, or another size."
        ) from error
    learned: dict[str, Any] = json.loads(library.to_str())["model"]
    return learned
