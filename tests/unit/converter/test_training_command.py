"""`edgewright train` with what only a few ask for: half precision, several workers, texts read in windows."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

VERBS = {"on": ("start", "light"), "off": ("stop", "quench"), "ask": ("tell", "show")}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Sentences of twelve words, each of a class that one of them tells."""
    rng = np.random.default_rng(0)
    rooms = ("kitchen", "garden", "cellar", "attic", "hall", "garage", "porch", "study")
    lines = ["text,label"]
    for number in range(180):
        label, verbs = list(VERBS.items())[number % 3]
        words = [*rng.choice(rooms, 11), rng.choice(verbs)]
        lines.append(f"{' '.join(words[index] for index in rng.permutation(12))},{label}")
    path = tmp_path / "rooms.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def start(data: Path, output: str, *options: str, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "edgewright", "train", str(data), "-o", str(data.with_name(output)), "--json"]
    command += ["--model", "text-cnn", "--width", "8", "--learning-rate", "0.02", "--epochs", "12", "--batch", "16"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, *options], env={**os.environ, **environment}, **pipes)


def accuracy(training: "subprocess.Popen[str]") -> float:
    out, err = training.communicate(timeout=200)
    assert training.returncode == 0, err
    return float(json.loads(out)["metrics"]["test"]["label"]["accuracy"]["value"])


def test_half_precision_learns_and_leaves_float32(data: Path) -> None:
    import keras

    assert accuracy(start(data, "half.keras", "--precision", "mixed_float16")) > 0.8
    model = keras.models.load_model(data.with_name("half.keras"))
    assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {"float32"}
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_texts_are_read_in_windows_whose_answers_are_pooled(data: Path) -> None:
    """Six of twelve words are not enough to tell the class in every text."""
    assert accuracy(start(data, "head.keras", "--length", "6")) < 0.9
    assert accuracy(start(data, "pooled.keras", "--length", "6", "--pooling", "max")) > 0.9


def test_two_workers_train_one_model_that_the_first_writes(data: Path) -> None:
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    workers = [
        start(
            data, "both.keras", "--strategy", "multiworker",
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
        )
        for index in (0, 1)
    ]  # fmt: skip
    first, second = map(accuracy, workers)
    assert first == second > 0.8
    assert {path.name for path in data.parent.glob("both.*")} >= {"both.keras", "both.train.json"}
    assert not list(data.parent.glob("*.training*"))
