"""Train the intent classifier of the demo: sentences of one language in, a Keras model and its data out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright_runtime.errors import storage_errors

from .data import Splits, intents, split
from .training import Settings, train

TRANSFORMER: dict[str, Any] = {"width": 128, "depth": 2, "attention_heads": 4, "hidden": 256, "dropout": 0.2}
BATCH = 64
EPOCHS = 4
MIN_STEPS = 600  # languages with few templates need more epochs
SETTINGS = Settings(
    model="transformer",
    width=TRANSFORMER["width"],
    depth=TRANSFORMER["depth"],
    options={name: value for name, value in TRANSFORMER.items() if name not in ("width", "depth")},
    vocabulary=4000,
    length=24,
    batch=BATCH,
)


@dataclass(frozen=True)
class TrainedIntents:
    """Files of one training run, all inside one folder.

    model: .keras · tokenizer, labels: JSON · data: .npz of token ids (``x_train`` (n, 24) int32, ``y_train`` (n,)
    int32, ``x_test``, ``y_test``) · test_sentences: .csv of the same test samples as ``text,label``.
    sizes: a sentence for people; parameters: of the model; accuracy: Keras' own, on the test sentences.
    """

    model: Path
    tokenizer: Path
    labels: Path
    data: Path
    test_sentences: Path
    sizes: str
    parameters: int
    accuracy: float


def train_in_child(
    language: str,
    folder: Path,
    *,
    seed: int = 0,
    timeout_s: float = 3600.0,
    progress: Callable[[str, float], None] = lambda step, fraction: None,
) -> TrainedIntents:
    """Draw the sentences, train the Transformer on them in a process of its own and write everything into ``folder``.

    Raises InputError for an unknown language, StorageError where the folder cannot be written, ConversionError where
    the child crashes or takes longer than ``timeout_s``.
    """
    sentences = split(intents.read(language, seed=seed), validation=0, seed=seed)
    with storage_errors(f"write the trained model into {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    epochs = max(EPOCHS, math.ceil(MIN_STEPS / max(1, len(sentences.train) // BATCH)))
    settings = Settings(**{**vars(SETTINGS), "epochs": epochs, "seed": seed})
    trained = train(sentences, folder / "intents.keras", settings, timeout_s=timeout_s, progress=progress)
    return TrainedIntents(
        model=trained.model,
        tokenizer=trained.files["tokenizer"],
        labels=trained.files["labels"],
        data=trained.files["data"],
        test_sentences=trained.files["test"],
        sizes=_sizes(language, sentences),
        parameters=trained.parameters,
        accuracy=trained.metrics["test"]["label"]["accuracy"]["value"],
    )


def _sizes(language: str, sentences: Splits) -> str:
    train, test = sentences.train, sentences.test
    return (
        f"{language}: {len(train.class_names())} intents, {len(train):,} sentences of {len(set(train.groups or ())):,} "
        f"templates to train on, {len(test):,} sentences of {len(set(test.groups or ())):,} other templates to test on"
    )
