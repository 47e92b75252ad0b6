"""A flatbuffer that takes one token, with both kinds of state, and the same in numpy; its vocabulary is characters.

Scores for what comes next: the row of the token in a table, plus that of the token before (a state), plus the mean over
a cache of all earlier rows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from unit.models import FlatbufferBuilder, write_bundle

from edgewright_runtime.text import Tokenizer
from edgewright_runtime.text.characters import Characters

LETTERS = "abcdefgh .é"
SPECIAL = {"pad": 0, "unknown": 1, "begin": 2, "end": 3}
SIZE = len(SPECIAL) + len(LETTERS)
CONTEXT = 12


def tokenizer() -> Tokenizer:
    pieces = ("[PAD]", "[UNK]", "[BEGIN]", "[END]", *LETTERS)
    return Tokenizer(Characters(pieces, SPECIAL), 8, begin=True, end=False)


def table(seed: int = 0) -> np.ndarray[Any, Any]:
    """The end is never likely, so that texts go on."""
    rows = np.random.default_rng(seed).normal(0, 2, (SIZE, SIZE)).astype(np.float32)
    rows[:, SPECIAL["end"]] = -50
    return rows


def speaking_model(rows: np.ndarray[Any, Any]) -> bytes:
    graph = FlatbufferBuilder()
    token, position = graph.tensor("token", (1, 1), "int32"), graph.tensor("position", (1, 1), "int32")
    cache, before = graph.tensor("cache", (1, 1, CONTEXT, SIZE)), graph.tensor("before", (1, SIZE))
    known = graph.tensor("table", (SIZE, 1, SIZE), data=rows)
    axes = graph.tensor("axes", (2,), "int32", np.array([1, 2]))
    row, flat = graph.tensor("row", (1, 1, 1, SIZE)), graph.tensor("flat", (1, SIZE))
    mean, both, logits = (graph.tensor(name, (1, SIZE)) for name in ("mean", "both", "logits"))
    graph.operator("GATHER", 1, [known, token], row, "GatherOptions")
    graph.operator("MEAN", 1, [row, axes], flat, "ReducerOptions")
    graph.operator("MEAN", 1, [cache, axes], mean, "ReducerOptions")
    graph.operator("ADD", 1, [flat, before], both, "AddOptions")
    graph.operator("ADD", 1, [both, mean], logits, "AddOptions")
    inputs = {"token": token, "position": position, "key_0": cache, "state_0": before}
    return graph.build(inputs, {"logits": logits, "key_0": row, "state_0": flat})


def oracle(rows: np.ndarray[Any, Any], ids: Sequence[int]) -> np.ndarray[Any, Any]:
    """(SIZE,): the scores after these tokens."""
    read = rows[list(ids)]
    before = read[-2] if len(ids) > 1 else np.zeros(SIZE)
    scores: np.ndarray[Any, Any] = read[-1] + before + read[:-1].sum(0) / CONTEXT
    return scores


def speaking_bundle(path: Path, task: bytes = b'{"kind":"generate","options":{}}\n', seed: int = 0) -> Path:
    shapes = (((1, 1), "int32"), ((1, 1), "int32"), ((1, 1, CONTEXT, SIZE), "float32"), ((1, SIZE), "float32"))
    samples = [np.zeros((2, *shape), dtype) for shape, dtype in shapes]
    extra = {"tokenizer": tokenizer().to_json(), "task": task}
    return write_bundle(path, speaking_model(table(seed)), samples, extra, name="speaker")


__all__ = ["CONTEXT", "LETTERS", "SIZE", "SPECIAL", "oracle", "speaking_bundle", "table", "tokenizer"]
