"""Run by benchmarks/shrink.py in an environment of TFMOT and Keras 2: prune, cluster, then QAT that keeps both (PCQAT).

    python shrink_tfmot.py WEIGHTS.npz DATA.npz OUT.tflite [SPARSITY CLUSTERS]

TFMOT's guide to collaborative optimization, step by step, on the twin of the task cnn. Its embedding is pruned and
clustered, which TFMOT can; QAT, which TFMOT refuses there, leaves it as it stands, so that its zeros and its shared
values stay. The converter quantizes it with samples (without them it stays in float32).
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster
from tf_keras import Model, layers, losses, models, optimizers

# Chosen without the test samples: of 0.6, 0.75, 0.8, 0.85 with 16 and 0.75, 0.8 with 8 what compresses best within half
# a point of the model that it starts from.
SPARSITY, CLUSTERS = 0.8, 8
BATCH, SAMPLES = 64, 200


def build(words: int, length: int, width: int, filters: int, classes: int) -> Model:
    tokens = layers.Input((length,), dtype="int32", name="tokens")
    x = layers.Reshape((length, 1, width))(layers.Embedding(words, width)(tokens))
    x = layers.Conv2D(filters, (3, 1), padding="same", activation="relu")(x)
    x = layers.Dropout(0.3)(layers.GlobalMaxPooling2D()(x))
    return Model(tokens, layers.Dense(classes, activation="softmax")(x))


def main(weights: str, data: str, out: str, sparsity: float = SPARSITY, clusters: int = CLUSTERS) -> None:
    tf.keras.utils.set_random_seed(0)
    with np.load(data) as archive:
        x, y = archive["x_train"], archive["y_train"]
    with np.load(weights) as archive:
        arrays = [archive[key] for key in archive.files]
    model = build(arrays[0].shape[0], x.shape[1], arrays[0].shape[1], arrays[1].shape[-1], arrays[-1].shape[-1])
    model.set_weights(arrays)
    steps = len(x) // BATCH + 1

    schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, sparsity, 0, 4 * steps)
    model = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
    train(model, x, y, 6, 1e-3, tfmot.sparsity.keras.UpdatePruningStep())
    model = tfmot.sparsity.keras.strip_pruning(model)

    init = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
    model = cluster.cluster_weights(
        model, number_of_clusters=clusters, cluster_centroids_init=init, preserve_sparsity=True
    )
    train(model, x, y, 4, 2.5e-4)
    model = tfmot.clustering.keras.strip_clustering(model)

    model = models.clone_model(model, clone_function=annotated)
    scheme = tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=True)
    model = tfmot.quantization.keras.quantize_apply(model, scheme)
    train(model, x, y, 4, 2.5e-4)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([row[None]] for row in x[:SAMPLES])
    Path(out).write_bytes(converter.convert())


def annotated(layer: Any) -> Any:
    """For QAT: all but the embedding, and what follows it, which TFMOT would take for its end."""
    if isinstance(layer, layers.Embedding):
        layer.trainable = False
    if isinstance(layer, layers.Embedding | layers.Reshape):
        return layer
    return tfmot.quantization.keras.quantize_annotate_layer(layer)


def train(model: Model, x: Any, y: Any, epochs: int, rate: float, *callbacks: Any) -> None:
    falling = optimizers.schedules.PolynomialDecay(rate, epochs * (len(x) // BATCH + 1), 0.0)
    model.compile(optimizers.Adam(falling), losses.SparseCategoricalCrossentropy())
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=list(callbacks))


if __name__ == "__main__":
    main(*sys.argv[1:4], *(kind(word) for kind, word in zip((float, int), sys.argv[4:], strict=False)))
