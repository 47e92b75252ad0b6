"""Run by benchmarks/quantization.py in an environment of TFMOT and Keras 2: the picture model's twin, trained by TFMOT.

python quantization_tfmot.py WEIGHTS.npz DATA.npz OUT.tflite
"""

import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
from tf_keras import Input, Model, layers, losses, optimizers

EPOCHS, RATE = 2, 3e-4


def build() -> Model:
    image = Input((28, 28, 1), name="image")
    x = layers.Conv2D(24, 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for filters, stride in ((32, 2), (48, 1), (48, 1)):
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(filters, 1, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return Model(image, x)


def main(weights: str, data: str, out: str) -> None:
    tf.keras.utils.set_random_seed(0)
    model = build()
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
