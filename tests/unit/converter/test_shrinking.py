"""The passes that shrink, as a recipe runs them: on live models, before a conversion, with other passes after them."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright_converter.adapters import Adapters
from edgewright_converter.data import from_mapping
from edgewright_converter.errors import RecipeError
from edgewright_converter.job import Finished, Request, Steps
from edgewright_converter.outcome import Outcome
from edgewright_converter.passes import PASSES
from edgewright_converter.passes.cluster import Cluster
from edgewright_converter.passes.factorize import Factorize
from edgewright_converter.passes.lora import Lora
from edgewright_converter.passes.prune import Prune
from edgewright_converter.passes.prune_structured import PruneStructured
from edgewright_converter.passes.quantize import Quantize
from edgewright_converter.recipe import Recipe
from edgewright_converter.targets import get_target
from edgewright_runtime.errors import InputError

TRAIN = {"epochs": 2, "learning_rate": 0.01}


def _request(*passes: Any, data: Any = None, mode: str = "float32") -> Request:
    recipe = Recipe("small", (*passes, Quantize(mode)))
    return Request(None, from_mapping(data or {}), recipe, get_target("local"), 1, {}, None, None, False, seed=0)


def _apply(model: Any, data: Any, *passes: Any, mode: str = "float32") -> tuple[Any, tuple[Outcome, ...], ExitStack]:
    """The passes alone, and how to take them back."""
    from edgewright_converter.change import change

    request = _request(*passes, data=data, mode=mode)
    undo = ExitStack()
    steps = Steps(lambda step, share: None, tuple(p.use for p in passes))
    changed = change(model, request.data, request, steps, undo)  # type: ignore[arg-type]
    for outcome in changed.outcomes:
        assert Outcome.from_dict(outcome.to_dict()) == outcome
    return changed.model, changed.outcomes, undo


def _convert(model: Any, data: Any, *passes: Any, mode: str = "float32") -> Finished:
    from edgewright_converter.back import finish
    from edgewright_converter.front import prepare

    request = _request(*passes, data=data, mode=mode)
    steps = Steps(lambda step, share: None, tuple(p.use for p in passes))
    return finish(prepare(model, request, steps), request, Steps(lambda step, share: None))


@pytest.fixture(scope="module")
def trained() -> tuple[Any, Any]:
    """A small text classifier that has learned, and its data: the class is which of three words occurs."""
    import keras

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.integers(4, 40, (900, 8)).astype(np.int32)
    y = rng.integers(0, 3, 900)
    x[np.arange(900), rng.integers(0, 8, 900)] = y + 1
    layers = keras.layers
    tokens = keras.Input((8,), dtype="int32", name="tokens")
    h = layers.Embedding(60, 32, name="words")(tokens)
    h = h + layers.MultiHeadAttention(4, 8, name="attention")(h, h)
    h = h + layers.Dense(32, name="contract")(layers.Dense(64, activation="gelu", name="expand")(h))
    out = layers.Dense(3, activation="softmax", name="class")(layers.GlobalAveragePooling1D()(h))
    model = keras.Model(tokens, out, name="classifier")
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy())
    model.fit(x[:700], y[:700], epochs=3, batch_size=64, verbose=0)
    return model, {"x_train": x[:700], "y_train": y[:700], "x_test": x[700:], "y_test": y[700:]}


def test_the_table_names_them_all_and_senseless_orders_are_refused() -> None:
    for kind in (PruneStructured, Factorize, Lora, Prune, Cluster):
        assert PASSES[kind.use] is kind
    Recipe("all", (PruneStructured(), Factorize(), Prune(), Cluster(), Quantize("int8")))
    for wrong in (
        (Prune(), PruneStructured()),
        (Cluster(), Prune()),
        (Cluster(), Factorize()),
        (Factorize(), PruneStructured()),
    ):
        with pytest.raises(RecipeError, match="cannot follow"):
            Recipe("wrong", (*wrong, Quantize("int8")))


@pytest.mark.slow
@pytest.mark.parametrize("importance", ["magnitude", "taylor", "activation"])
def test_structured_pruning_halves_a_model_that_still_knows(trained: Any, importance: str) -> None:
    model, data = trained
    scope = "global" if importance == "magnitude" else "layer"
    step = PruneStructured(importance=importance, scope=scope, rounds=2, multiple=4, **TRAIN)
    smaller, (outcome,), _ = _apply(model, data, step)
    assert outcome.parameters_after == smaller.count_params()
    assert smaller.count_params() < 0.6 * model.count_params()
    assert outcome.weight_bytes_after == 4 * smaller.count_params()
    assert outcome.accuracy_after is not None
    assert outcome.accuracy_after > 0.95
    assert {row.kind for row in outcome.layers} == {"embedding", "heads", "units"}
    if scope == "layer":
        assert {row.name: (row.before, row.after) for row in outcome.layers}["expand"] == (64, 32)
    assert [skipped.what for skipped in outcome.skipped] == ["class"]
    assert smaller.optimizer is not model.optimizer
    assert smaller.loss is model.loss


@pytest.mark.slow
def test_a_single_answer_may_have_labels_with_and_without_an_axis() -> None:
    import keras

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(0, 1, (200, 6)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.float32)
    layers = [keras.layers.Dense(16, activation="relu", name="hidden"), keras.layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile("adam", "binary_crossentropy")
    kept = []
    for labels in (y, y[:, None]):
        step = PruneStructured(importance="taylor", multiple=4, epochs=0)
        smaller, _, undo = _apply(model, {"x_train": x, "y_train": labels}, step)
        kept.append(smaller.get_layer("hidden").get_weights()[0])
        undo.close()
    assert kept[0].shape == (6, 8)
    np.testing.assert_array_equal(*kept)


@pytest.mark.slow
def test_rows_that_no_sample_looks_up_go_and_the_ids_stay_the_same(trained: Any) -> None:
    import keras

    model, data = trained
    step = PruneStructured(amount=0.0, kinds=("vocabulary",), epochs=0)
    smaller, (outcome,), _ = _apply(model, data, step)
    (row,) = outcome.layers
    assert (row.name, row.before, row.after) == ("words rows", 60, 41)  # ids 40 … 59 are none of the data's
    x = data["x_test"]
    np.testing.assert_allclose(smaller(x).numpy(), model(x).numpy(), atol=1e-5)
    unseen = np.full((1, 8), 59, np.int32)
    assert np.isfinite(smaller(unseen).numpy()).all()
    # Ids 20 and 31 … 50 without a sample: no end of the table, so a table of int32 leads around them.
    moved = {key: np.where(data[key] == 20, 21, data[key]) + 20 * (data[key] > 30) for key in ("x_train", "x_test")}
    gap = {**data, **{key: value.astype(np.int32) for key, value in moved.items()}}
    finished = _convert(model, gap, step, mode="int8")
    assert (finished.outcomes[0].layers[0].before, finished.outcomes[0].layers[0].after) == (60, 40)
    assert finished.difference < 0.06
    narrow = keras.Sequential([keras.Input((8,), dtype="int32"), keras.layers.Embedding(60, 2), keras.layers.Flatten()])
    same, (outcome,), _ = _apply(narrow, {"x_train": gap["x_train"]}, step, mode="int8")
    assert same.count_params() == narrow.count_params()
    assert "21 of its 60 rows are never looked up, 40 bytes, and the table" in outcome.skipped[-1].reason


@pytest.mark.slow
@pytest.mark.parametrize("rank_by", ["energy", "size", "sensitivity"])
def test_factorization_by_each_way(trained: Any, rank_by: str) -> None:
    model, data = trained
    smaller, (outcome,), _ = _apply(model, data, Factorize(rank_by=rank_by, size=0.6, multiple=4, **TRAIN))
    if rank_by == "size":
        assert smaller.count_params() <= 0.6 * model.count_params()
    assert outcome.accuracy_after is not None
    assert outcome.accuracy_after > 0.95
    assert all(row.after is not None and row.before is not None and row.after < row.before for row in outcome.layers)
    assert "class" in {skipped.what for skipped in outcome.skipped}


@pytest.mark.slow
def test_zeros_and_clusters_survive_the_passes_that_follow(trained: Any) -> None:
    model, data = trained
    own = [weight.copy() for weight in model.get_weights()]
    changed, outcomes, undo = _apply(
        model, data, Prune(sparsity=0.7, **TRAIN), Cluster(clusters=8, **TRAIN), mode="dynamic-int8"
    )
    assert changed is model
    for variable in model.trainable_variables:
        if len(variable.shape) > 1 and variable.name in ("kernel", "embeddings"):
            value = variable.numpy()
            assert (value == 0).mean() >= 0.69, variable.path
            assert len(np.unique(value)) <= 8
            assert variable.constraint is not None
    assert all(outcome.accuracy_after is not None and outcome.accuracy_after > 0.9 for outcome in outcomes)
    undo.close()
    assert all((a == b).all() for a, b in zip(own, model.get_weights(), strict=True))
    assert all(variable.constraint is None for variable in model.trainable_variables)


@pytest.mark.slow
def test_blocks_are_stored_as_sparse_tensors_that_the_engine_runs() -> None:
    import keras

    keras.utils.set_random_seed(0)
    x = keras.Input((128,), name="x")
    model = keras.Model(x, keras.layers.Dense(4)(keras.layers.Dense(128, activation="relu")(x)))
    data = {"x_train": np.random.default_rng(0).normal(0, 1, (64, 128)).astype(np.float32)}
    sizes = {}
    for sparse in (False, True):
        step = Prune(sparsity=0.8, pattern="1x4", schedule="constant", epochs=0, sparse=sparse)
        finished = _convert(model, data, step)
        assert finished.difference < 1e-5
        outcome = finished.outcomes[0]
        assert outcome.float_bytes_after == len(finished.model)
        assert ("no gain in latency" in outcome.hints[-1]) is not sparse
        sizes[sparse] = len(finished.model)
    assert sizes[True] < 0.5 * sizes[False]


@pytest.mark.slow
def test_the_gain_of_shared_values_is_told_as_it_is(trained: Any) -> None:
    model, data = trained
    finished = _convert(model, data, Cluster(clusters=8, epochs=0))
    stored, packed, latency = finished.outcomes[0].hints
    assert stored.startswith("Bytes as stored (float32): ")
    assert stored.endswith("1.00×: no gain.")
    assert not packed.endswith("no gain.")
    assert "no gain in latency" in latency
    outcome = finished.outcomes[0]
    assert outcome.compressed_bytes_after is not None
    assert outcome.compressed_bytes_before is not None
    assert outcome.compressed_bytes_after < 0.6 * outcome.compressed_bytes_before


@pytest.mark.slow
def test_adapters_train_alone_are_kept_apart_switched_and_merged(trained: Any, tmp_path: Path) -> None:
    import keras

    model, data = trained
    x, y = data["x_train"], data["y_train"]
    base = [weight.copy() for weight in model.get_weights()]
    plain = model(x).numpy()
    adapters = Adapters.attach(model, rank=2, seed=1)
    np.testing.assert_allclose(model(x).numpy(), plain, atol=1e-6)
    assert adapters.parameters == sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy())
    model.fit(x, (y + 1) % 3, epochs=2, verbose=0)  # another task
    shifted = model(x).numpy()
    assert (shifted.argmax(-1) == (y + 1) % 3).mean() > 0.9
    adapters.save(tmp_path / "shifted.npz")
    adapters.switch("")
    np.testing.assert_allclose(model(x).numpy(), plain, atol=1e-6)
    adapters.load(tmp_path / "shifted.npz", "other")
    adapters.switch("other")
    np.testing.assert_allclose(model(x).numpy(), shifted, atol=1e-5)
    assert adapters.names == ("default", "other")
    with pytest.raises(InputError, match="no adapters 'kitchen': there are default, other"):
        adapters.switch("kitchen")
    (tmp_path / "broken.npz").write_bytes((tmp_path / "shifted.npz").read_bytes()[:300])
    with pytest.raises(InputError, match="cannot be read"):
        adapters.load(tmp_path / "broken.npz", "broken")
    adapters.merge()
    np.testing.assert_allclose(model(x).numpy(), shifted, atol=1e-4)
    assert len(model.get_weights()) == len(base)
    other = Adapters.attach(model, rank=2)  # a base that has moved
    with pytest.raises(InputError, match="another base model"):
        other.load(tmp_path / "shifted.npz", "shifted")
    other.detach()
    assert len(model.trainable_variables) == len(model.get_weights())
    model.set_weights(base)


@pytest.mark.slow
def test_the_pass_lora_trains_few_parameters_and_gives_an_ordinary_model(trained: Any) -> None:
    model, data = trained
    moved = {**data, "y_train": (data["y_train"] + 1) % 3, "y_test": (data["y_test"] + 1) % 3}
    before = [weight.copy() for weight in model.get_weights()]
    changed, (outcome,), undo = _apply(model, moved, Lora(rank=2, epochs=3, learning_rate=0.02))
    assert changed is model
    assert outcome.accuracy_before is not None
    assert outcome.accuracy_after is not None
    assert outcome.accuracy_before < 0.2 < 0.9 < outcome.accuracy_after
    (row,) = outcome.layers
    assert row.after is not None
    assert row.before is not None
    assert row.after < 0.35 * row.before
    assert not any(getattr(layer, "lora_enabled", False) for layer in model._flatten_layers())
    undo.close()
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
