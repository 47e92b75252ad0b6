"""Grids in live models: exact where they must be, gone without a trace, there through everything Keras does."""

from typing import Any

import numpy as np
import pytest

from edgewright_converter.errors import ModelError
from edgewright_converter.fakequant import grids

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)


def attached(model: Any, sample: Any, **settings: Any) -> Any:
    """With ranges, and switched on."""
    from edgewright_converter.fakequant.attach import Settings, attach, feed

    found = attach(model, sample, Settings(**settings))
    found.places.calibrate(feed(model, [sample]), "moving-average")
    found.places.on = True
    return found


def answers(model: Any, sample: Any) -> np.ndarray:
    return np.asarray(model(sample, training=False))


@pytest.fixture(scope="module")
def keras() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    return keras


def dense_model(keras: Any) -> Any:
    x = keras.Input((6,), name="x")
    y = keras.layers.Dense(8, activation="relu", name="hidden")(x)
    return keras.Model(x, keras.layers.Dense(3, activation="softmax", name="classes")(y))


X = RNG.normal(0, 1, (32, 6)).astype(np.float32)


def test_a_dense_model_computes_what_numpy_computes(keras: Any) -> None:
    model = dense_model(keras)
    found = attached(model, X)
    ranges, (hidden, classes) = found.ranges(), model.layers[1:]

    def weights(layer: Any) -> np.ndarray:
        kernel = np.asarray(layer.kernel)
        return grids.snap(kernel, grids.weight_scale(kernel, (0,), 8), 8)

    x = grids.fake_quantize(X, *ranges["input 1:output"], 8)
    y = grids.fake_quantize(np.maximum(x @ weights(hidden) + np.asarray(hidden.bias), 0), *ranges["hidden:output"], 8)
    z = grids.fake_quantize(y @ weights(classes) + np.asarray(classes.bias), *ranges["classes:output/before"], 8)
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    assert ranges["classes:output"] == (0.0, 255 / 256)
    np.testing.assert_allclose(answers(model, X), grids.fake_quantize(p, 0, 255 / 256, 8), atol=1 / 255)


def test_snapping_changes_nothing_and_detaching_takes_all_away(keras: Any) -> None:
    model = dense_model(keras)
    before = answers(model, X)
    found = attached(model, X)
    rounded = answers(model, X)
    assert np.abs(rounded - before).max() > 1e-4
    found.places.snap()
    np.testing.assert_allclose(answers(model, X), rounded, atol=1e-6)
    found.detach()
    assert np.abs(answers(model, X) - rounded).max() > 1e-5
    assert all("call" not in vars(layer) for layer in [model, *model.layers])
    assert model.layers[1].activation is keras.activations.relu


def test_an_untouched_model_after_attach_and_detach(keras: Any) -> None:
    model = dense_model(keras)
    before = answers(model, X)
    attached(model, X).detach()
    assert (answers(model, X) == before).all()


def test_a_clone_with_the_same_ranges_answers_the_same(keras: Any) -> None:
    from edgewright_converter.fakequant.attach import Settings, attach

    model = dense_model(keras)
    found = attached(model, X)
    expected = answers(model, X)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    again = attach(clone, X, Settings())
    again.set_ranges(found.ranges())
    again.places.on = True
    np.testing.assert_array_equal(answers(clone, X), expected)
    with pytest.raises(ModelError, match="another model's"):
        again.set_ranges({"x:output": (0, 1)})


def test_batch_normalization_is_folded_and_relu_fused(keras: Any) -> None:
    layers = keras.layers
    image = keras.Input((8, 8, 3))
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="conv")(image)))
    x = layers.BatchNormalization(name="norm_2")(layers.DepthwiseConv2D(3, use_bias=False, name="depthwise")(x))
    y = layers.Conv2D(4, 1, name="shared_output")(x)
    model = keras.Model(image, layers.Add()([y, layers.BatchNormalization(name="not_alone")(y)]))
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            for variable in layer.variables:
                variable.assign(RNG.uniform(0.5, 2, variable.shape))
    pixels = RNG.normal(0, 1, (4, 8, 8, 3)).astype(np.float32)
    before = answers(model, pixels)
    found = attached(model, pixels)
    assert found.places.folded == {"norm": "conv", "norm_2": "depthwise"}
    assert found.places.deferred == {"conv", "norm", "depthwise"}
    found.detach()
    np.testing.assert_allclose(answers(model, pixels), before, rtol=1e-4, atol=1e-4)
    assert model.get_layer("norm").gamma.trainable


def separable_model(keras: Any, reader: Any = None) -> Any:
    """Convolutions whose channels differ in size by their normalizations. reader: a layer that takes the first ReLU's
    result, too."""
    layers = keras.layers
    image = keras.Input((8, 8, 3))
    first = layers.ReLU(name="relu")(layers.BatchNormalization()(layers.Conv2D(16, 3, name="conv")(image)))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, use_bias=False, name="depthwise")(first))
    x = layers.Activation("relu")(x)
    x = layers.SeparableConv2D(16, 3, activation="relu", name="separable")(x)
    ends = layers.Flatten()(layers.Conv2D(4, 1, name="last")(x))
    model = keras.Model(image, [ends] if reader is None else [ends, reader(first)])
    rng = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            sizes = rng.uniform(0.1, 3, layer.gamma.shape)
            layer.gamma.assign(sizes)
            layer.beta.assign(sizes * rng.normal(0, 0.3, sizes.shape))
    return model


PIXELS = RNG.normal(0, 1, (4, 8, 8, 3)).astype(np.float32)
CHANNELS = ("conv", "depthwise", "separable", "separable", "last")


def shared(found: Any) -> tuple[str, ...]:
    """The layers of the kernels that have one scale."""
    return tuple(k.layer for k in found.places.kernels if len(k.reduced) == len(k.variable.shape))


def flat(model: Any) -> np.ndarray:
    import keras

    return np.concatenate([np.asarray(x).ravel() for x in keras.tree.flatten(model(PIXELS, training=False))])


def test_convolutions_in_a_chain_have_one_scale_and_compute_the_same(keras: Any) -> None:
    model = separable_model(keras)
    before = flat(model)
    found = attached(model, PIXELS)
    assert shared(found) == CHANNELS
    assert grids.sqnr_db(before, flat(model)) > 30
    found.places.on = False
    np.testing.assert_allclose(flat(model), before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("settings", [{"activation_bits": 0}, {"activation_bits": 16}, {"per_tensor": True}])
def test_convolutions_keep_their_scales_where_the_file_has_them_by_channel(keras: Any, settings: Any) -> None:
    assert shared(attached(separable_model(keras), PIXELS, **settings)) == ()


def test_channels_stay_where_a_layer_of_somebody_else_reads_them(keras: Any) -> None:
    class Theirs(keras.layers.Layer):  # type: ignore[misc,name-defined]
        def call(self, x: Any) -> Any:
            return keras.ops.square(x)

    model = separable_model(keras, Theirs())
    before = flat(model)
    found = attached(model, PIXELS)
    found.places.on = False
    np.testing.assert_allclose(flat(model), before, rtol=1e-3, atol=1e-4)


def test_layers_are_left_by_name_and_pattern(keras: Any) -> None:
    model = dense_model(keras)
    found = attached(model, X, leave=("hid*",))
    assert {kernel.layer for kernel in found.places.kernels} == {"classes"}
    assert [entry.what for entry in found.skipped] == ["hidden"]
    with pytest.raises(ModelError, match=r"No layer is named 'hiden': the model has .*hidden"):
        attached(dense_model(keras), X, leave=("hiden",))


def test_what_cannot_be_reached_is_named(keras: Any) -> None:
    class Own(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=(shape[-1], 2), name="w")

        def call(self, x: Any) -> Any:
            return x @ self.w

    x = keras.Input((6,))
    mixed = keras.Model(x, Own(name="own")(keras.layers.Dense(4)(x)))
    (skipped,) = attached(mixed, X).skipped
    assert skipped.what == "own"
    assert "Own has weights of its own" in skipped.reason
    with pytest.raises(ModelError, match=r"no layer that can be quantized: its layers are .*own .Own"):
        attached(keras.Model(x, Own(name="own")(x)), X)


def test_masked_attention_fills_with_what_the_grid_can_hold(keras: Any) -> None:
    for layer in (keras.layers.MultiHeadAttention(2, 8), keras.layers.GroupQueryAttention(8, 4, 2)):
        x = keras.Input((5, 16))
        model = keras.Model(x, layer(x, x, use_causal_mask=True))
        sample = RNG.normal(0, 2, (4, 5, 16)).astype(np.float32)
        before = answers(model, sample)
        found = attached(model, sample)
        assert grids.sqnr_db(before, answers(model, sample)) > 25
        changed = sample.copy()
        changed[:, 3:] += 5
        np.testing.assert_array_equal(answers(model, changed)[:, :3], answers(model, sample)[:, :3])
        low, high = found.ranges()[f"{layer.name}:scores"]
        assert low < -10
        assert high == pytest.approx(largest_score(found, model, sample), rel=0.02)  # one grid for all


def largest_score(found: Any, model: Any, sample: Any) -> float:
    scores: list[float] = []

    def see(point: Any, x: Any, _: Any) -> None:
        if point.role == "scores":
            scores.append(float(np.max(x)))

    with found.places.tapped(see):
        answers(model, sample)
    return max(scores)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_steps_share_their_grids_in_a_loop_and_written_out(keras: Any, kind: str) -> None:
    x = keras.Input((7, 5))
    layer = getattr(keras.layers, kind)(6, return_sequences=True)
    model = keras.Model(x, keras.layers.Bidirectional(layer)(x))
    sample = RNG.normal(0, 1, (8, 7, 5)).astype(np.float32)
    before = answers(model, sample)
    found = attached(model, sample)
    looped = answers(model, sample)
    assert 25 < grids.sqnr_db(before, looped) < 60
    for inner in model._flatten_layers():
        if isinstance(inner, keras.layers.RNN):
            inner.unroll = True
    np.testing.assert_allclose(answers(model, sample), looped, atol=1e-5)
    found.places.only = "nothing"
    np.testing.assert_allclose(answers(model, sample), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False}, {"center": False, "scale": False}, None])
def test_a_normalization_is_rounded_at_each_step_and_once_at_its_end(keras: Any, options: Any) -> None:
    normal = keras.layers.RMSNormalization() if options is None else keras.layers.LayerNormalization(**options)
    x = keras.Input((4, 16), name="x")
    model = keras.Model(x, normal(keras.layers.Dense(16)(x)))
    for variable in normal.variables:
        variable.assign(RNG.uniform(0.5, 2, variable.shape))
    sample = RNG.normal(0, 1, (8, 4, 16)).astype(np.float32)
    before = answers(model, sample)
    found = attached(model, sample)
    rounded = answers(model, sample)
    assert 30 < grids.sqnr_db(before, rounded) < 60
    seen: dict[str, int] = {}

    def see(point: Any, *_: Any) -> None:
        if point.layer == normal.name:
            seen[point.role] = seen.get(point.role, 0) + 1

    with found.places.tapped(see):
        answers(model, sample)
    gains, shifts = (True, False) if options is None else (options.get("scale", True), options.get("center", True))
    roles = ["square", "variance", "shifted", "root", *(["mean", "centred"] if options is not None else [])]
    roles += ["product", "scaled"][: gains + shifts]
    assert {role: count for role, count in seen.items() if role != "output"} == dict.fromkeys(roles, 1)
    low, high = found.ranges()[f"{normal.name}:output"]
    np.testing.assert_allclose(rounded, grids.fake_quantize(rounded, low, high, 8), atol=1e-5)
