"""What a conversion costs above the bare tf.lite calls, which check nothing and run without a child process.

    python benchmarks/conversion_cost.py [--runs 5]

Bare is a process of its own that loads the .keras file, traces it with static shapes, freezes it and calls
TFLiteConverter with the same calibration samples; its time is that of these calls, after TensorFlow was imported.
edgewright is all of `convert`: it starts a child that imports TensorFlow, asks Keras for its answers, compares, scores
300 test samples and writes a bundle. Both by turns; the figures are medians of wall time. Limit: 1.5 × bare + 4 s;
exit code 1 where it does not hold.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edgewright_converter.fitting import CALIBRATION_SAMPLES
from edgewright_converter.pipeline import convert

WORDS, LENGTH, CLASSES = 1500, 24, 42
CASES = [("transformer", recipe) for recipe in ("float32", "float16", "dynamic-int8", "int8")] + [("lstm", "float32")]
ALLOWED_RATIO, ALLOWED_S = 1.5, 4.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="of each kind")
    parser.add_argument("--build", help=argparse.SUPPRESS)
    parser.add_argument("--bare", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build:
        build(Path(arguments.build))
        return 0
    if arguments.bare:
        print(json.dumps(bare(Path(arguments.bare[0]), arguments.bare[1])))
        return 0
    kept = True
    print(f"{'model':<12} {'recipe':<13} {'bare s':>7} {'edgewright s':>13} {'limit s':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data.npz"
        child("--build", name)
        for model, recipe in CASES:
            path = folder / f"{model}.keras"
            plain, ours = [], []
            for _ in range(arguments.runs):
                plain.append(float(json.loads(child("--bare", str(path), recipe))))
                ours.append(timed(partial(convert, path, data=data, recipe=recipe, output=folder / "x.ewb")))
            limit = ALLOWED_RATIO * median(plain) + ALLOWED_S
            kept = kept and median(ours) <= limit
            print(f"{model:<12} {recipe:<13} {median(plain):>7.2f} {median(ours):>13.2f} {limit:>8.2f}", flush=True)
    return 0 if kept else 1


def child(*arguments: str) -> str:
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def build(folder: Path) -> None:
    import keras

    from edgewright_converter.language.train import TRANSFORMER
    from edgewright_converter.language.zoo import build as from_zoo

    model = from_zoo("transformer", vocabulary=WORDS, length=LENGTH, heads={"intent": CLASSES}, **TRANSFORMER)
    model.save(folder / "transformer.keras")
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    y = keras.layers.LSTM(64)(keras.layers.Embedding(WORDS, 64)(tokens))
    keras.Model(tokens, keras.layers.Dense(CLASSES, activation="softmax")(y)).save(folder / "lstm.keras")
    rng = np.random.default_rng(0)
    x = rng.integers(0, WORDS, (1300, LENGTH), np.int32)
    labels = rng.integers(0, CLASSES, 1300)
    parts = {"x_train": x[:1000], "y_train": labels[:1000], "x_test": x[1000:], "y_test": labels[1000:]}
    np.savez(folder / "data.npz", **parts)


def bare(path: Path, recipe: str) -> float:
    """Seconds of the calls alone."""
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    x = np.load(path.with_name("data.npz"))["x_train"][:CALIBRATION_SAMPLES]

    def calls() -> None:
        model = keras.models.load_model(path)
        function = tf.function(lambda tokens: model(tokens, training=False))
        traced = function.get_concrete_function(tf.TensorSpec((1, LENGTH), tf.int32, name="tokens"))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(traced)], model)
        if recipe != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if recipe == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if recipe == "int8":
            converter.representative_dataset = lambda: ([row[None]] for row in x)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.convert()

    return timed(calls)


if __name__ == "__main__":
    sys.exit(main())
