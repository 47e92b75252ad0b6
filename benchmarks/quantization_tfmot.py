"""Run by benchmarks/quantization.py in an environment of TFMOT and Keras 2: a model's twin, trained by TFMOT.

python quantization_tfmot.py LAYERS.json WEIGHTS.npz DATA.npz OUT.tflite

LAYERS.json: the shape of the input, and the chain of layers, each with its class and options.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
from tf_keras import Input, Model, layers, losses, optimizers

EPOCHS, RATE = 2, 3e-4


def build(shape: list[int], chain: list[list[Any]]) -> Model:
    x = entrance = Input(shape)
    for kind, options in chain:
        x = getattr(layers, kind)(**options)(x)
    return Model(entrance, x)


def main(chain: str, weights: str, data: str, out: str) -> None:
    tf.keras.utils.set_random_seed(0)
    model = build(*json.loads(Path(chain).read_text()))
    with np.load(weights) as archive:
        model.set_weights([archive[key] for key in archive.files])
    with np.load(data) as archive:
        x, y = archive["x_train"], archive["y_train"]
    aware = tfmot.quantization.keras.quantize_model(model)
    steps = EPOCHS * (len(x) // 64 + 1)
    rate = optimizers.schedules.PolynomialDecay(RATE, steps, 0.0)
    aware.compile(optimizers.Adam(rate), losses.SparseCategoricalCrossentropy())
    aware.fit(x, y, batch_size=64, epochs=EPOCHS, verbose=0)
    converter = tf.lite.TFLiteConverter.from_keras_model(aware)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    Path(out).write_bytes(converter.convert())


if __name__ == "__main__":
    main(*sys.argv[1:])
