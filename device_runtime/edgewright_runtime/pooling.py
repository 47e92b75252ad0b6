"""One answer for a text that a model has read in windows."""

from collections.abc import Sequence
from typing import Optional

import numpy as np

from .engines import Array


def pool(answers: Array, windows: Sequence[int], pooling: Optional[str]) -> Array:
    """answers: (windows of all texts, …), each text's in one row after the other; windows: how many each text has.

    Returns (texts, …): for each text the mean of its windows' answers, or with "max" the largest number of each.
    """
    if len(answers) == len(windows):  # one each
        return answers
    starts = np.concatenate([[0], np.cumsum(windows)[:-1]])
    if pooling == "max":
        return np.asarray(np.maximum.reduceat(answers, starts))
    counts = np.reshape(windows, (-1, *[1] * (answers.ndim - 1)))
    return np.asarray(np.add.reduceat(answers, starts) / counts)
