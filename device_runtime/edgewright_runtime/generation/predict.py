"""``predict`` of models that generate or translate: how probable each text is, or what it becomes."""

from collections.abc import Callable
from typing import Any, Optional

import numpy as np

from ..bundle import Bundle
from ..engines import Array, Engine
from ..errors import InputError
from ..model import load_encoder, load_model
from ..predict import pack_pieces
from ..task import Task
from ..text import Tokenizer
from .scoring import score_text
from .stepper import Stepper

Progress = Callable[[int, int], None]


def predict_texts(
    bundle: Bundle, task: Task, texts: list[Array], engine: str, threads: int, progress: Optional[Progress]
) -> tuple[dict[str, str], dict[str, Any]]:
    """texts: each (bytes,) uint8, UTF-8. Returns the engine, and the arrays of the answers.

    generate: y.nats, y.tokens, y.unknown, y.bytes (n,), 0 where a text has nothing to predict; x.ids (rows,) and
    windows (n,), the ids of each. translate: text and ends, the translations as the task's options make them.
    Raises InputError, BundleError, EngineError.
    """
    tokenizer = bundle.tokenizer()
    if tokenizer is None:
        raise InputError(f"The model {bundle.manifest.name} takes no texts (no tokenizer): convert it again.")
    with load_model(bundle, engine, threads) as running:
        used = {"name": running.name, "version": running.version}
        if task.kind == "generate":
            return used, _scored(bundle, running, tokenizer, texts, progress)
        with load_encoder(bundle, running.name, threads) as encoder:
            return used, _translated(bundle, task, running, encoder, texts, progress)


def _scored(
    bundle: Bundle, engine: Engine, tokenizer: Tokenizer, texts: list[Array], progress: Optional[Progress]
) -> dict[str, Any]:
    stepper = Stepper(bundle, engine)
    rows: list[tuple[float, ...]] = []
    ids: list[list[int]] = []
    for done, text in enumerate(texts, 1):
        own = tokenizer.ids(text.tobytes())
        ids.append(own)
        few = len(own) + (tokenizer.begin_id is not None) + (tokenizer.end_id is not None) < 2
        rows.append((0.0, 0, 0, 0) if few else tuple(score_text(stepper, tokenizer, text.tobytes())))
        if progress is not None:
            progress(done, len(texts))
    columns = dict(zip(("y.nats", "y.tokens", "y.unknown", "y.bytes"), (np.array(column) for column in zip(*rows))))
    return {
        **columns,
        "x.ids": np.array([index for own in ids for index in own], np.int64),
        "windows": np.array([len(own) for own in ids], np.int64),
    }


def _translated(
    bundle: Bundle, task: Task, engine: Engine, encoder: Engine, texts: list[Array], progress: Optional[Progress]
) -> dict[str, Any]:
    from .translate import Search, translate

    found = []
    for done, text in enumerate(texts, 1):
        source = text.tobytes().decode("utf-8", "replace")
        said = translate(bundle, engine, encoder, source, Search(**task.options))["text"]
        found.append(np.frombuffer(said.encode("utf-8", "replace"), np.uint8))
        if progress is not None:
            progress(done, len(texts))
    return pack_pieces("text", found)
