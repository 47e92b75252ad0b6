"""Pictures, slightly changed, by Keras' own layers: part of the training alone, gone in the conversion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewright_runtime.errors import InputError

if TYPE_CHECKING:
    import keras


def picture_layers(
    *,
    crop: tuple[int, int] | None = None,
    flip: str | None = None,
    rotate: float = 0.0,
    zoom: float = 0.0,
    contrast: float = 0.0,
    seed: int = 0,
) -> keras.Sequential:
    """Layers to put in front of a model, or to map over a tf.data pipeline.

    They take (batch, height, width, channels) to the same, or to (batch, *crop, channels).

    crop: to a random place, in training, and to the centre otherwise; flip: "horizontal", "vertical" or
    "horizontal_and_vertical", by half of the chance; rotate: share of a whole turn, to either side; zoom, contrast:
    shares. Raises InputError where nothing is asked for, or a share is beyond 0 to 1.
    """
    from keras import Sequential, layers

    for name, share in (("rotate", rotate), ("zoom", zoom), ("contrast", contrast)):
        if not 0 <= share <= 1:
            raise InputError(f"The share {name} is {share:g}: expected 0 to 1.")
    found: list[Any] = []
    if crop:
        # Keras' random crop leaves pictures whole outside of training; the second one is nothing to do in training.
        found += [layers.RandomCrop(*crop, seed=seed), layers.CenterCrop(*crop)]
    if flip:
        found.append(layers.RandomFlip(flip, seed=seed + 1))
    if rotate:
        found.append(layers.RandomRotation(rotate, fill_mode="nearest", seed=seed + 2))
    if zoom:
        found.append(layers.RandomZoom(zoom, fill_mode="nearest", seed=seed + 3))
    if contrast:
        found.append(layers.RandomContrast(contrast, seed=seed + 4))
    if not found:
        raise InputError("No change of the pictures is asked for: give crop, flip, rotate, zoom or contrast.")
    return Sequential(found, name="augmentation")
