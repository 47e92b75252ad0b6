"""The examples: which data, which model, in how many bytes.

intents in five languages, sentiment, spam, medical phrases, languages: classified, 100,000 bytes of bundle at most.
oromo, english: language models, 300,000 bytes. en-es: translated phrases, as many. keywords: spoken by a synthesizer.
"""

from dataclasses import dataclass, field

import corpora

from edgewright_converter.language.data import Corpus, Splits, split
from edgewright_converter.language.training import Settings

CLASSIFIER_BYTES, LANGUAGE_MODEL_BYTES = 100_000, 300_000


@dataclass(frozen=True)
class Task:
    """corpus: a name of corpora.py, "" for recordings; settings: of the training; recipe: of the conversion; kind: what
    the model is for; answers: the options of its task, as task.json has them; bytes_limit: of the bundle; splits:
    shares.
    """

    name: str
    corpus: str
    settings: Settings
    recipe: str = "int8-fast"
    kind: str = "classify"
    answers: dict[str, int] = field(default_factory=dict)
    bytes_limit: int = CLASSIFIER_BYTES
    splits: dict[str, float] = field(default_factory=lambda: {"test": 0.18, "validation": 0.05})

    def load(self, limit: int | None = None) -> Splits:
        """The data, split; limit: so many texts at most, evenly taken from each class, for a quick look."""
        corpus = corpora.load(self.corpus)
        if limit is not None and len(corpus) > limit:
            corpus = thin(corpus, limit)
        return split(corpus, **self.splits)


def thin(corpus: Corpus, count: int) -> Corpus:
    """``count`` texts at most, evenly spaced over the corpus sorted by class."""
    head = next(iter(corpus.labels), None)
    order = sorted(range(len(corpus)), key=lambda i: (corpus.labels[head][i] if head else "", i))
    return corpus.take(sorted(order[at * len(order) // count] for at in range(count)))


_INTENTS = Settings(
    model="text-cnn", width=24, tokenizer="words", vocabulary=2000, epochs=12, learning_rate=5e-3, token_dropout=0.15
)
TASKS = {
    task.name: task
    for task in (
        *(Task(f"intents-{code}", f"intents:{code}", _INTENTS) for code in ("en", "de", "eu", "cy", "ml")),
        Task(
            "sentiment",
            "sentiment",
            # All bytes for buckets: a weight for each of 91,000, and words no longer than their first letters in pairs.
            Settings(
                model="linear",
                tokenizer="hashed",
                tokenizer_options={"characters": (5, 5), "whole": True, "signs": True, "stem": 5},
                vocabulary=91_000,
                length=256,
            ),
        ),
        *(
            Task(
                name,
                name,
                Settings(
                    model="lstm-lm",
                    width=184,
                    options={"embedding": 64, "dropout": dropout},
                    tokenizer="bpe",
                    vocabulary=500,
                    length=length,
                    batch=64,
                    epochs=epochs,
                    learning_rate=1.5e-2,
                ),
                kind="generate",
                bytes_limit=LANGUAGE_MODEL_BYTES,
                splits={"test": 0.05, "validation": 0.02},
            )
            for name, length, epochs, dropout in (("oromo", 48, 22, 0.2), ("english", 64, 13, 0.0))
        ),
        Task(
            "en-es",
            "en-es",
            Settings(
                model="translator",
                width=72,
                depth=1,
                options={"attention_heads": 4, "dropout": 0.1},
                vocabulary=1400,
                length=24,
                batch=32,
                epochs=36,
                learning_rate=3e-3,
                label_smoothing=0.1,
            ),
            recipe="int4",
            kind="translate",
            answers={"beams": 4},
            bytes_limit=LANGUAGE_MODEL_BYTES,
            splits={"test": 0.1, "validation": 0.04},
        ),
        Task(
            "keywords",
            "",
            Settings(model="ds-cnn", width=48, depth=3, epochs=25, batch=64, test=0.25, validation=0.05),
            recipe="int8",
            kind="spot",
        ),
        Task(
            "spam",
            "spam",
            Settings(model="text-cnn", width=16, vocabulary=3000, epochs=8, learning_rate=3e-3),
        ),
        Task(
            "medical",
            "medical",
            # Two bytes for each of 38,000 buckets: words, their pairs, and the parts of words that new ones share.
            Settings(
                model="linear",
                options={"codes": 2, "cost": 0.003, "ratio": 0.7},
                tokenizer="hashed",
                tokenizer_options={"whole": True},
                vocabulary=38_000,
                length=256,
                epochs=10,
            ),
        ),
        Task(
            "languages",
            "languages",
            Settings(
                model="bag-of-embeddings",
                width=12,
                depth=0,
                options={"pooling": "real"},
                # fastText's way: runs of characters tell more of a language than its words do.
                tokenizer="hashed",
                tokenizer_options={"characters": (1, 4), "words": 1, "whole": True},
                vocabulary=13_000,
                length=1024,
                epochs=50,
                learning_rate=2e-2,
                label_smoothing=0.05,
                # The training texts are long: without half of their tokens they teach what short ones need.
                token_dropout=0.0,
                token_deletion=0.5,
            ),
            recipe="int4",
        ),
    )
}
