"""Figures of a language model: how surprised it is by a text, in units that can be compared.

Perplexity depends on what a token is; bits per byte of UTF-8 does not, so models of words, characters and pieces of
words can be compared by it.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...data import Array
from .intervals import RESAMPLES, Measure, bootstrap


@dataclass(frozen=True)
class Modelling:
    """texts, tokens, bytes: how many were scored."""

    texts: int
    tokens: int
    bytes: int
    perplexity: Measure
    bits_per_byte: Measure

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def modelling(nats: Array, tokens: Array, size_bytes: Array, *, resamples: int = RESAMPLES, seed: int = 0) -> Modelling:
    """Each (texts,): the sum of -log p over a text's tokens, their number, and the text's bytes in UTF-8.

    Intervals come from drawing texts, which stay whole. Raises ValueError without a token or a byte.
    """
    nats, tokens, size_bytes = (np.asarray(part, np.float64) for part in (nats, tokens, size_bytes))
    if not nats.shape == tokens.shape == size_bytes.shape or nats.ndim != 1 or not tokens.sum() or not size_bytes.sum():
        raise ValueError("there must be the nats, tokens and bytes of each text, and a token at least")
    figure = {
        "perplexity": bootstrap(
            lambda rows: perplexity(nats[rows].sum(), tokens[rows].sum()), len(nats), resamples=resamples, seed=seed
        ),
        "bits_per_byte": bootstrap(
            lambda rows: bits_per_byte(nats[rows].sum(), size_bytes[rows].sum()),
            len(nats),
            resamples=resamples,
            seed=seed,
        ),
    }
    return Modelling(len(nats), int(tokens.sum()), int(size_bytes.sum()), **figure)


def perplexity(nats: float, tokens: float) -> float:
    """exp of the mean surprise in nats per token; NaN without a token."""
    return math.exp(min(nats / tokens, 700.0)) if tokens else math.nan


def bits_per_byte(nats: float, size_bytes: float) -> float:
    """Surprise in bits for each byte of text; NaN without a byte."""
    return nats / math.log(2) / size_bytes if size_bytes else math.nan
