"""Train the intent classifier of the demo: sentences of one language in, a Keras model and its data out."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright_runtime.errors import storage_errors
from edgewright_runtime.text import Tokenizer

from ..isolation import run_isolated
from . import intents

VOCABULARY = 4000
LENGTH = 24
BATCH = 64
EPOCHS = 4
MIN_STEPS = 600  # languages with few templates need more epochs
LEARNING_RATE = 1e-3
LABEL_SMOOTHING = 0.1
UNKNOWN_ID = 1
# Chance that a training token is replaced by [UNK]: sentences of other templates use words that no one has seen.
TOKEN_DROPOUT = 0.1


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
    """``train_intents`` in a process of its own: Keras stays out of this one, and so does a crash of TensorFlow.

    Raises InputError for an unknown language, StorageError where the folder cannot be written, ConversionError where
    the child crashes or takes longer than ``timeout_s``.
    """
    trained: TrainedIntents = run_isolated(train_intents, (language, folder, seed), timeout_s, progress, "training")
    return trained


def train_intents(language: str, folder: Path, seed: int, progress: Callable[[str, float], None]) -> TrainedIntents:
    """Draw the sentences, train the Transformer on them and write everything into ``folder``.

    Imports Keras. progress: called with a step's name and the fraction of all training batches that are done.
    """
    import keras
    import numpy as np

    from .models import transformer_classifier

    keras.utils.set_random_seed(seed)
    sentences = intents.load(language, seed=seed)
    tokenizer = Tokenizer.train(sentences.train_texts, size=VOCABULARY, max_length=LENGTH)
    x_train, x_test = (
        np.stack([tokenizer.encode(text) for text in texts]) for texts in (sentences.train_texts, sentences.test_texts)
    )
    y_train, y_test = (np.asarray(y, np.int32) for y in (sentences.train_labels, sentences.test_labels))

    model = transformer_classifier(vocabulary=len(tokenizer.vocabulary), classes=len(sentences.labels), length=LENGTH)
    batches = max(1, len(x_train) // BATCH)
    epochs = max(EPOCHS, math.ceil(MIN_STEPS / batches))
    steps = epochs * batches
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=LEARNING_RATE, warmup_steps=steps // 10),
            weight_decay=0.01,
        ),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING),
    )
    done = itertools.count(1)
    report = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: progress("train", next(done) / steps)
    )
    data = _batches(x_train, y_train, len(sentences.labels), seed).repeat()
    model.fit(data, epochs=epochs, steps_per_epoch=batches, verbose=0, callbacks=[report])
    predicted = model.predict(x_test, batch_size=256, verbose=0).argmax(axis=1)
    accuracy = float((predicted == y_test).mean())

    files = TrainedIntents(
        model=folder / "intents.keras",
        tokenizer=folder / "tokenizer.json",
        labels=folder / "labels.json",
        data=folder / "intents.npz",
        test_sentences=folder / "test.csv",
        sizes=sentences.sizes(),
        parameters=model.count_params(),
        accuracy=accuracy,
    )
    with storage_errors(f"write the trained model into {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        model.save(files.model)
        files.tokenizer.write_bytes(tokenizer.to_json())
        files.labels.write_text(json.dumps(sentences.labels, ensure_ascii=False), encoding="utf-8")
        np.savez_compressed(files.data, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
        with files.test_sentences.open("w", encoding="utf-8", newline="") as out:
            rows = zip(sentences.test_texts, (sentences.labels[label] for label in sentences.test_labels), strict=True)
            csv.writer(out).writerows([("text", "label"), *rows])
    return files


def _batches(x: Any, y: Any, classes: int, seed: int) -> Any:
    """x: (n, length) int32, y: (n,) int32 → tf.data pipeline of (BATCH, length) int32 and (BATCH, classes) float32."""
    import tensorflow as tf

    def augment(tokens: Any, label: Any) -> tuple[Any, Any]:
        dropped = (tf.random.uniform(tf.shape(tokens)) < TOKEN_DROPOUT) & (tokens > 0)
        return tf.where(dropped, UNKNOWN_ID, tokens), tf.one_hot(label, classes)

    pipeline = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=seed)
    return pipeline.batch(BATCH, drop_remainder=len(x) >= BATCH).map(augment).prefetch(2)
