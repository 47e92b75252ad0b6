"""Models that hear a word in a second of sound.

ds-cnn: convolutions over time and frequency, `depth` of them separable, then a mean (Zhang et al., "Hello Edge", 2017,
whose small model has width 64 and depth 4). It takes features, not token ids: `length` frames of `vocabulary` numbers.

Options: dropout; activation of the heads, None for logits; entrance, the input's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import parts
from .entry import Entry
from .parts import Part

if TYPE_CHECKING:
    import keras

_FIRST = (10, 4)  # of the first kernel, in frames and in features
_MOMENTUM = 0.9  # few recordings make few steps, and the averages must have arrived by the end


def ds_cnn(
    *,
    vocabulary: int,
    length: int,
    heads: Mapping[str, int],
    width: int,
    depth: int,
    dropout: float,
    activation: str | None,
    entrance: str,
) -> keras.Model:
    """Input: (batch, length, vocabulary) float32 features. Output for each head: (batch, classes) float32."""
    import keras
    from keras import layers

    def normed(x: Any, name: str) -> Any:
        return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_norm")(x))

    features = keras.Input((length, vocabulary), dtype="float32", name=entrance)
    # Each coefficient has its own range: without this the first ones, which tell the loudness, drown the others.
    x = layers.BatchNormalization(momentum=_MOMENTUM, name="features_norm")(features)
    x = layers.Reshape((length, vocabulary, 1), name="image")(x)
    x = layers.Conv2D(width, _FIRST, strides=2, padding="same", use_bias=False, name="convolution")(x)
    x = normed(x, "convolution")
    for block in range(depth):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"depthwise_{block}")(x)
        x = normed(x, f"depthwise_{block}")
        x = layers.Conv2D(width, 1, use_bias=False, name=f"pointwise_{block}")(x)
        x = normed(x, f"pointwise_{block}")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    outputs = [layers.Dense(classes, activation=activation, name=head)(x) for head, classes in heads.items()]
    return keras.Model(features, outputs if len(outputs) > 1 else outputs[0], name="ds_cnn")


def count(*, vocabulary: int, length: int, classes: int, width: int, depth: int, **rest: Any) -> Iterator[Part]:
    """The parts of the same model. A batch normalization becomes the bias of the convolution before it."""
    positions = -(-length // 2) * -(-vocabulary // 2)
    yield Part(small=2 * vocabulary, folded=2 * vocabulary, operators=3)
    first = _FIRST[0] * _FIRST[1]
    yield _normed(parts.dense(first, width, positions=positions), first)
    for _ in range(depth):
        yield _normed(Part(9 * width, width, width, multiply_adds=9 * width * positions), 9)
        yield _normed(parts.dense(width, width, positions=positions), width)
    yield parts.plain(0)
    yield parts.dense(width, classes)


def _normed(part: Part, inputs: int) -> Part:
    """Four numbers for each channel in training, the bias in the flatbuffer. inputs: weights of a channel."""
    return parts.sharing(replace(part, folded=3 * part.small), inputs)


ENTRIES = {
    "ds-cnn": Entry(
        task="spot",
        summary="separable convolutions over the features of a second of sound",
        build=ds_cnn,
        count=count,
        width=64,
        depth=4,
        depths=(2, 3, 4, 5),
        options={"dropout": 0.2, "activation": "softmax", "entrance": "features"},
    )
}
