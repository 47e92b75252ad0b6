"""A training's whole state after each epoch, in one file that is replaced at once: killed at any moment, it goes on.

The state is what the next epoch depends on: the variables (with the seeds of Dropout layers), the optimizer's, how many
epochs are done, and for early stopping the best loss so far, its weights, and how long that is ago.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_runtime.errors import storage_errors

from ..data import Array


class TrainingState:
    """file: where the state is kept; patience: epochs without a better ``val_loss`` until the training stops, or 0."""

    def __init__(self, file: Path, patience: int) -> None:
        self._file = file
        self._patience = patience
        self._best = float("inf")
        self._waited = 0
        self._best_weights: list[Array] = []

    def begin(self, trainee: Any) -> int:
        """Restore what an earlier run left. trainee: compiled, and built. Returns how many epochs are done."""
        saved = _read(self._file)
        if saved is None:
            return 0
        if not trainee.optimizer.built:
            trainee.optimizer.build(trainee.trainable_variables)
        variables = _variables(trainee)
        if [saved[f"v{i}"].shape for i in range(int(saved["count"]))] != [tuple(v.shape) for v in variables]:
            return 0  # another model's: the recipe's code has changed since
        for index, variable in enumerate(variables):
            variable.assign(saved[f"v{index}"])
        self._best, self._waited = float(saved["best"]), int(saved["waited"])
        self._best_weights = [saved[f"b{i}"] for i in range(int(saved["best_count"]))]
        return int(saved["stopped"]) or int(saved["epoch"])

    def epoch_ended(self, trainee: Any, epoch: int, val_loss: float | None, epochs: int) -> None:
        """Judge the epoch, save, and stop the training where it has waited long enough."""
        stop = False
        if self._patience and val_loss is not None:
            self._waited += 1
            if val_loss < self._best:
                self._best, self._waited = val_loss, 0
                self._best_weights = [variable.numpy() for variable in trainee.weights]
            stop = self._waited >= self._patience
        trainee.stop_training = trainee.stop_training or stop
        variables = {f"v{i}": variable.numpy() for i, variable in enumerate(_variables(trainee))}
        best = {f"b{i}": value for i, value in enumerate(self._best_weights)}
        numbers = {
            "epoch": epoch + 1,
            "stopped": epochs if stop else 0,
            "best": self._best,
            "waited": self._waited,
            "count": len(variables),
            "best_count": len(best),
        }
        _write(self._file, {**variables, **best, **{key: np.asarray(value) for key, value in numbers.items()}})

    def end(self, trainee: Any) -> None:
        """Take the best epoch, where one was looked for."""
        for variable, value in zip(trainee.weights, self._best_weights, strict=False):
            variable.assign(value)


def keep_state(state: TrainingState) -> Any:
    """The Keras callback that does it."""
    import keras

    class KeepState(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs = logs or {}
            if np.isfinite(logs.get("loss", 0.0)):
                state.epoch_ended(self.model, epoch, logs.get("val_loss"), self.params["epochs"])

    return KeepState()


def _variables(trainee: Any) -> list[Any]:
    """Not the metrics', which begin anew with each epoch and are made late."""
    seeds = [variable for variable in trainee.variables if variable.name == "seed_generator_state"]
    return [*trainee.weights, *seeds, *trainee.optimizer.variables]


def _write(file: Path, arrays: dict[str, Array]) -> None:
    fresh = file.with_suffix(".part")
    with storage_errors(f"write the checkpoint {file}"):
        with fresh.open("wb") as out:
            np.savez(out, **arrays)  # type: ignore[arg-type]
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)


def _read(file: Path) -> dict[str, Array] | None:
    """None where there is none; a file is either whole or absent, so one that cannot be read is an error."""
    if not file.is_file():
        return None
    with storage_errors(f"read the checkpoint {file}"), np.load(file, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}
