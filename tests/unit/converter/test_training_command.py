"""`edgewright train` with what only a few ask for: half precision, several workers, texts read in windows, a backbone;
and `edgewright convert` by several workers."""

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


def test_texts_are_cut_without_windows(data: Path) -> None:
    """Six of twelve words are not enough to tell the class in every text."""
    assert accuracy(start(data, "head.keras", "--length", "6")) < 0.9


@pytest.mark.parametrize("how", ["mean", "max"])
def test_texts_are_read_in_windows_whose_answers_are_pooled(data: Path, how: str) -> None:
    assert accuracy(start(data, "pooled.keras", "--length", "6", "--pooling", how)) > 0.9


def test_a_model_begins_with_a_saved_backbone(data: Path) -> None:
    bare = data.with_name("bare.txt")
    bare.write_text("\n".join(line.partition(",")[0] for line in data.read_text("utf-8").splitlines()[1:]), "utf-8")
    out, err = start(bare, "body.keras", "--pretrain", "masked").communicate(timeout=200)
    assert json.loads(out)["metrics"]["validation"]["perplexity"]["value"] < 16, err  # of 16 words
    body = str(data.with_name("body.keras"))
    begun = start(data, "few.keras", "--backbone", body, "--freeze", "1", "--rate-decay", "0.8")
    out, err = begun.communicate(timeout=200)
    document = json.loads(out)
    assert document["transferred"] == ["token_embedding", "convolution_0"], err
    assert document["frozen"] == ["token_embedding"]
    assert document["metrics"]["test"]["label"]["accuracy"]["value"] > 0.8


def cluster(index: int, workers: list[str]) -> str:
    """TF_CONFIG of one of them."""
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})


@pytest.fixture
def workers() -> list[str]:
    """Two addresses that nobody listens at."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    return [f"127.0.0.1:{port}" for port in ports]


def test_two_workers_train_one_model_that_the_first_writes(data: Path, workers: list[str]) -> None:
    trainings = [
        start(data, "both.keras", "--strategy", "multiworker", TF_CONFIG=cluster(index, workers)) for index in (0, 1)
    ]
    first, second = map(accuracy, trainings)
    assert first == second > 0.8
    assert {path.name for path in data.parent.glob("both.*")} >= {"both.keras", "both.train.json"}
    assert not list(data.parent.glob("*.training*"))


def test_two_workers_convert_to_the_same_bytes_and_share_a_folder_of_checkpoints(
    data: Path, workers: list[str]
) -> None:
    accuracy(start(data, "rooms.keras", "--epochs", "1"))
    recipe = data.with_name("on.toml")
    recipe.write_text('[[passes]]\nuse = "finetune"\nepochs = 3\nstrategy = "multiworker"\n', "utf-8")
    command = [sys.executable, "-m", "edgewright", "convert", str(data.with_name("rooms.keras")), "--name", "rooms"]
    command += ["--recipe", str(recipe), "--checkpoints", str(data.with_name("states")), "-o"]
    bundles = [data.with_name(f"{index}.ewb") for index in (0, 1)]
    conversions = [
        subprocess.Popen(
            [*command, str(bundle)],
            env={**os.environ, "TF_CONFIG": cluster(index, workers)},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for index, bundle in enumerate(bundles)
    ]  # fmt: skip
    for conversion in conversions:
        _, err = conversion.communicate(timeout=300)
        assert conversion.returncode == 0, err
    assert bundles[0].read_bytes() == bundles[1].read_bytes()
    assert len(list(data.with_name("states").glob("finetune-*/training-0.npz"))) == 2
