"""Which token comes next, of the probabilities of all.

Python's own generator draws, whose numbers are the same in every version and on every machine. A draw can still fall
otherwise on another processor, where the last digit of a probability does.
"""

from collections.abc import Collection
from random import Random
from typing import NamedTuple, Optional

import numpy as np

from ..engines import Array
from ..errors import InputError


class Sampling(NamedTuple):
    """temperature: 0 takes the most probable token; above, draws, from flatter probabilities the higher it is.

    top_k: draws from so many of the most probable, 0: from all. top_p: from as few as have this probability together
    (Holtzman et al. 2020). seed: of the draws, None for another one each time.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: Optional[int] = None


class Sampler:
    """never: ids that are no answer. Raises InputError where the settings are none."""

    def __init__(self, sampling: Sampling, never: Collection[int] = ()) -> None:
        if not 0 <= sampling.temperature <= 100 or sampling.top_k < 0 or not 0 < sampling.top_p <= 1:
            raise InputError(
                f"Sampling with temperature {sampling.temperature:g}, top-k {sampling.top_k} and top-p "
                f"{sampling.top_p:g} cannot be: expected 0 to 100, a whole number from 0, and above 0 up to 1."
            )
        self._sampling = sampling
        self._never = sorted(never)
        self._random = Random(sampling.seed)

    def pick(self, log_probabilities: Array) -> int:
        """log_probabilities: (vocabulary,) float64, which is changed."""
        log_probabilities[self._never] = -np.inf
        temperature, top_k, top_p, _ = self._sampling
        if temperature == 0:
            return int(log_probabilities.argmax())
        order = np.argsort(-log_probabilities, kind="stable")  # equal ones by id, on every machine
        order = order[: top_k or None]
        with np.errstate(over="ignore"):  # a temperature near 0 leaves the best one, as it should
            weights = np.exp((log_probabilities[order] - log_probabilities[order[0]]) / temperature)
        sums = np.cumsum(weights)
        kept = int(np.searchsorted(sums, top_p * sums[-1])) + 1 if top_p < 1 else len(sums)
        sums = sums[:kept]
        drawn = int(np.searchsorted(sums, self._random.random() * sums[-1], side="right"))
        return int(order[min(drawn, len(sums) - 1)])
