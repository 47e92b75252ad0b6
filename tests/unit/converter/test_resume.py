"""A training that was killed goes on: the order of its samples, its checkpoint, and a conversion under SIGKILL."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright_converter.passes.batches import epoch_order
from edgewright_converter.passes.checkpoint import TrainingState


def test_the_order_of_an_epoch_follows_from_seed_and_epoch() -> None:
    first = epoch_order(10, 10, 3, 0)
    assert sorted(first) == list(range(10))
    assert (first == epoch_order(10, 10, 3, 0)).all()
    assert (first != epoch_order(10, 10, 3, 1)).any()
    assert (first != epoch_order(10, 10, 4, 0)).any()
    longer = epoch_order(10, 25, 3, 0)
    assert len(longer) == 25
    assert sorted(longer[:20]) == sorted(list(range(10)) * 2)
    assert len(epoch_order(10, 4, 3, 0)) == 4


class _Variable:
    name = "v"

    def __init__(self, value: float) -> None:
        self.value = np.full(2, value)
        self.shape = (2,)

    def numpy(self) -> Any:
        return self.value.copy()

    def assign(self, value: Any) -> None:
        self.value = value


class _Trainee:
    """What a checkpoint sees of a model."""

    def __init__(self, weight: float, momentum: float) -> None:
        self.weights = self.variables = self.trainable_variables = [_Variable(weight)]
        self.optimizer = type("Optimizer", (), {"built": True, "variables": [_Variable(momentum)]})()
        self.stop_training = False


def test_a_checkpoint_holds_weights_optimizer_and_early_stopping(tmp_path: Path) -> None:
    trainee, state = _Trainee(1, 10), TrainingState(tmp_path / "a.npz", patience=2)
    assert state.begin(trainee) == 0
    state.epoch_ended(trainee, 0, 0.5, epochs=9)
    trainee.weights[0].assign(np.full(2, 2.0))
    state.epoch_ended(trainee, 1, 0.7, epochs=9)
    assert not trainee.stop_training
    again, restored = _Trainee(0, 0), TrainingState(tmp_path / "a.npz", patience=2)
    assert restored.begin(again) == 2
    assert (again.weights[0].value == 2).all()
    assert (again.optimizer.variables[0].value == 10).all()
    restored.epoch_ended(again, 2, 0.6, epochs=9)
    assert again.stop_training
    restored.end(again)
    assert (again.weights[0].value == 1).all()  # the best epoch was the first
    late = TrainingState(tmp_path / "a.npz", patience=2)
    assert late.begin(_Trainee(0, 0)) == 9  # nothing is left to train
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


def test_a_checkpoint_of_another_model_is_not_taken(tmp_path: Path) -> None:
    TrainingState(tmp_path / "a.npz", 0).epoch_ended(_Trainee(1, 1), 0, None, 3)
    other = _Trainee(0, 0)
    other.weights[0].shape = (3,)
    assert TrainingState(tmp_path / "a.npz", 0).begin(other) == 0


CONVERSION = """
    import sys, numpy as np, keras
    from edgewright_converter.data import from_mapping
    from edgewright_converter.front import prepare
    from edgewright_converter.job import Request, Steps
    from edgewright_converter.passes.finetune import Finetune
    from edgewright_converter.passes.distill import Distill
    from edgewright_converter.recipe import Recipe
    from edgewright_converter.targets import get_target

    folder, out = sys.argv[1:]
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 50, (1500, 8)).astype(np.int32)
    y = (x[:, :4] > x[:, 4:]).sum(1)
    ids = keras.Input((8,), dtype="int32", name="ids")
    h = keras.layers.Flatten()(keras.layers.Embedding(50, 8)(ids))
    h = keras.layers.Dropout(0.2)(keras.layers.Dense(32, activation="relu")(h))
    model = keras.Model(ids, keras.layers.Dense(5, activation="softmax")(h))
    data = from_mapping({"x_train": x[:1200], "y_train": y[:1200], "x_test": x[1200:], "y_test": y[1200:]})
    passes = (Finetune(epochs=4, learning_rate=0.01), Distill(student="bag-of-embeddings", width=8, epochs=60))
    request = Request(
        None, data, Recipe("r", passes), get_target("local"), 1, {}, None, None, False, 0, checkpoints=folder
    )
    steps = Steps(lambda step, share: print(step, share, flush=True), ("finetune", "distill"))
    prepared = prepare(model, request, steps)
    np.savez(out, answers=next(iter(prepared.reference.values())), accuracy=prepared.accuracy)
"""


@pytest.mark.slow
def test_a_conversion_that_is_killed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    script = tmp_path / "conversion.py"
    script.write_text(textwrap.dedent(CONVERSION))

    def start(folder: str, out: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "-1",
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        command = [sys.executable, str(script), str(tmp_path / folder), str(tmp_path / out)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)

    whole = start("whole", "whole.npz")
    killed = start("killed", "killed.npz")
    assert killed.stdout is not None
    deadline = time.monotonic() + 240
    for line in killed.stdout:
        assert time.monotonic() < deadline
        step, share = line.rsplit(" ", 1)
        if step == "distill" and float(share) > 0.65:  # in the middle of an epoch of the second pass
            killed.send_signal(signal.SIGKILL)
            break
    assert killed.wait(30) == -signal.SIGKILL
    assert not (tmp_path / "killed.npz").exists()
    again = start("killed", "killed.npz")
    lines = again.communicate(timeout=240)[0].splitlines()
    assert again.returncode == 0
    distilled = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("distill")]
    assert distilled[1] > 0.63  # [0] is the beginning of the step: it went on, not anew
    assert not [line for line in lines if line.startswith("finetune")][1:]  # done before
    whole.communicate(timeout=240)
    assert whole.returncode == 0
    a, b = (np.load(tmp_path / name) for name in ("whole.npz", "killed.npz"))
    assert np.abs(a["answers"] - b["answers"]).max() < 0.02
    assert abs(float(a["accuracy"]) - float(b["accuracy"])) < 0.02


ROUNDS = """
    [[passes]]
    use = "prune-structured"
    rounds = 2
    epochs = 15
    batch = 16
    learning_rate = 0.01
    multiple = 4
"""


@pytest.mark.slow
def test_the_command_goes_on_where_it_was_killed_in_the_second_round_of_a_pass(tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 50, (1500, 8)).astype(np.int32)
    y = (x[:, :4] > x[:, 4:]).sum(1)
    ids = keras.Input((8,), dtype="int32", name="ids")
    h = keras.layers.Flatten()(keras.layers.Embedding(50, 8)(ids))
    h = keras.layers.Dense(32, activation="relu", name="hidden")(h)
    keras.Model(ids, keras.layers.Dense(5, activation="softmax")(h)).save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x_train=x[:1200], y_train=y[:1200], x_test=x[1200:], y_test=y[1200:])
    (tmp_path / "small.toml").write_text(textwrap.dedent(ROUNDS))

    def start(name: str) -> subprocess.Popen[str]:
        options = ["--data", "data.npz", "--recipe", "small.toml", "--checkpoints", name, "-o", f"{name}.ewb", "--json"]
        command = [sys.executable, "-m", "edgewright", "convert", "model.keras", *options]
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def ended(process: subprocess.Popen[str]) -> Any:
        document = json.loads(process.communicate(timeout=240)[0])
        assert process.returncode == 0
        return document["outcomes"][0]

    killed = start("killed")
    deadline = time.monotonic() + 240
    while not (second := list(tmp_path.glob("killed/prune-structured-*/training-1.npz"))):
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.communicate(timeout=30)
    first = second[0].with_name("training-0.npz")
    _until_nobody_writes(second[0])
    written = first.stat().st_mtime_ns
    assert int(np.load(first)["epoch"]) == 15
    assert int(np.load(second[0])["epoch"]) < 15
    assert not (tmp_path / "killed.ewb").exists()

    whole, again = start("whole"), start("killed")
    a, b = ended(whole), ended(again)
    assert first.stat().st_mtime_ns == written  # the first round was not trained again
    assert a["layers"] == b["layers"]
    assert a["parameters_after"] == b["parameters_after"] < a["parameters_before"]
    assert abs(a["accuracy_after"] - b["accuracy_after"]) < 0.02
    assert a["accuracy_after"] > 0.5


def _until_nobody_writes(file: Path) -> None:
    """The child notices that its parent is gone, and ends."""
    before = -1
    while before != (now := file.stat().st_mtime_ns):
        before = now
        time.sleep(2)
