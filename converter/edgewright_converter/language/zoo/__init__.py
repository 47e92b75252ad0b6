"""Keras models for language tasks, by name, with a width and a depth.

name                 what it is                                                          an answer for each token
bag-of-embeddings    mean of the embeddings, `depth` dense layers (Joulin et al. 2016)   the same for all
linear               one product, solved by language/training/linear.py                  the same for all
text-cnn             `depth` convolutions over the tokens, maximum (Kim 2014)            yes
lstm, gru            `depth` recurrent layers, the last state                            yes, every state
transformer          `depth` post-norm encoder blocks, mean (BERT's; ALBERT's sharing)   yes
gpt, lstm-lm         language models: what comes next (causal.py)                        the next token
translator           encoder and decoder (translator.py)                                 the next token

`build` makes one, `estimate` says beforehand what it will weigh. Training them is language/training;
distilling a large model into one of them is the pass `distill`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgewright_runtime.errors import InputError

from . import causal, counts, encoders, keywords
from . import translator as translators
from .entry import TASKS, Entry
from .estimate import MODES, Estimate
from .estimate import estimate as _estimate

if TYPE_CHECKING:
    import keras

__all__ = ["MODES", "TASKS", "ZOO", "Entry", "Estimate", "build", "entry", "estimate"]

ZOO: dict[str, Entry] = {
    **encoders.ENTRIES,
    **keywords.ENTRIES,
    "gpt": Entry(
        "generate",
        "causal Transformer, pre-norm blocks as GPT-2's",
        causal.gpt,
        counts.gpt,
        width=64,
        depth=2,
        rate=1e-3,
        options={"attention_heads": None, "dropout": 0.1},
    ),
    "lstm-lm": Entry(
        "generate",
        "LSTM layers that say the next token",
        causal.lstm_lm,
        counts.lstm_lm,
        width=64,
        depth=1,
        rate=1e-2,
        options={"embedding": None, "dropout": 0.1},
    ),
    "translator": Entry(
        "translate",
        "encoder and decoder Transformer with one table for both languages",
        translators.translator,
        counts.translator,
        width=64,
        depth=2,
        rate=1e-3,
        options={"target_length": None, "attention_heads": None, "hidden": None, "dropout": 0.1},
    ),
}


def entry(name: str) -> Entry:
    """Raises InputError, with the list, for a name that the zoo does not have."""
    if name not in ZOO:
        raise InputError(f"There is no model {name!r}: choose one of {', '.join(ZOO)}.")
    return ZOO[name]


def build(
    name: str,
    *,
    vocabulary: int,
    length: int,
    heads: Mapping[str, int],
    width: int | None = None,
    depth: int | None = None,
    **options: Any,
) -> "keras.Model":
    """A new model. Input ``tokens``: (batch, length) int32 ids below vocabulary, padded with 0. For each head an output
    of its name, (batch, classes) float32 probabilities; language models and translators have no heads but their
    vocabulary. What each entry's options change is said at its builder.

    Raises InputError for an unknown name or option, or a size that cannot be.
    """
    model, sizes = _settled(name, vocabulary, length, width, depth, options)
    if model.task in ("generate", "translate"):  # their only answers are tokens
        return model.build(vocabulary=vocabulary, length=length, **sizes)
    if not heads or min(heads.values()) < 2:
        raise InputError(f"The heads {dict(heads)} cannot be: expected at least one, each of 2 classes or more.")
    return model.build(vocabulary=vocabulary, length=length, heads=heads, **sizes)


def estimate(
    name: str,
    *,
    vocabulary: int,
    length: int,
    classes: int,
    width: int | None = None,
    depth: int | None = None,
    **options: Any,
) -> Estimate:
    """What the model of ``build`` will weigh and compute. classes: of all heads together. No TensorFlow.

    Raises as ``build``.
    """
    model, sizes = _settled(name, vocabulary, length, width, depth, options)
    return _estimate(model.count(vocabulary=vocabulary, length=length, classes=classes, **sizes))


def _settled(
    name: str, vocabulary: int, length: int, width: int | None, depth: int | None, options: Mapping[str, Any]
) -> tuple[Entry, dict[str, Any]]:
    model = entry(name)
    unknown = sorted(set(options) - set(model.options))
    if unknown:
        known = ", ".join(model.options) or "none"
        raise InputError(f"The model {name} has no option {unknown[0]!r}: its options are {known}.")
    sizes = {"width": model.width if width is None else width, "depth": model.depth if depth is None else depth}
    for key, value in {**sizes, "vocabulary": vocabulary, "length": length}.items():
        if value < 1 and not (key == "depth" and name == "bag-of-embeddings" and value == 0):
            raise InputError(f"The {key} of a model is 1 or more, not {value}.")
    return model, {**sizes, **model.options, **options}
