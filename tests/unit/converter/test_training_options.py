"""Mixed precision and a tf.distribute strategy in the passes that train, through `fit` as they call it.

The strategy mirrors over two devices, for which one CPU counts twice; that has to be said before TensorFlow looks at
its devices, so it happens in a process of its own.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright_converter.fakequant import grids
from edgewright_converter.passes.base import ModelPass
from edgewright_converter.passes.cluster import Cluster
from edgewright_converter.passes.distill import Distill
from edgewright_converter.passes.factorize import Factorize
from edgewright_converter.passes.finetune import Finetune
from edgewright_converter.passes.lora import Lora
from edgewright_converter.passes.prune import Prune
from edgewright_converter.passes.prune_structured import PruneStructured
from edgewright_converter.passes.qat import Qat
from edgewright_converter.passes.quantize import Quantize
from edgewright_converter.recipe import Recipe

pytestmark = pytest.mark.slow

WORDS, LENGTH = 40, 8


def passes(**options: Any) -> list[ModelPass]:
    """One of each that trains."""
    options = {"epochs": 2, "learning_rate": 0.01, **options}
    return [
        Finetune(**options),
        Distill(width=1.0, depth=1.0, **options),
        PruneStructured(multiple=4, **options),
        Factorize(**options),
        Lora(**options),
        Prune(sparsity=0.5, **options),
        Cluster(**options),
        Qat(**options),
    ]


BFLOAT16 = ("distill", "prune-structured", "lora", "prune", "cluster", "qat")
FLOAT16 = ("finetune", "qat")  # whose loss is scaled, which the other passes have no part in
MIRRORED = ("prune-structured", "prune", "cluster", "qat")  # those that touch variables themselves


def data() -> dict[str, Any]:
    """The class is which of three words occurs."""
    rng = np.random.default_rng(0)
    x = rng.integers(4, WORDS, (700, LENGTH)).astype(np.int32)
    y = rng.integers(0, 3, 700)
    x[np.arange(700), rng.integers(0, LENGTH, 700)] = y + 1
    return {"x_train": x[:500], "y_train": y[:500], "x_test": x[500:], "y_test": y[500:]}


def untrained() -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    h = layers.Embedding(WORDS, 16, name="words")(tokens)
    h = layers.LayerNormalization(name="norm")(h + layers.MultiHeadAttention(2, 8, name="attention")(h, h))
    h = layers.Dropout(0.1, name="dropout")(layers.Dense(32, activation="relu", name="expand")(h))
    return keras.Model(tokens, layers.Dense(3, name="class")(layers.GlobalMaxPooling1D()(h)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    model, samples = untrained(), data()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=False)
    model.fit(samples["x_train"], samples["y_train"], epochs=3, batch_size=32, verbose=0)
    path = tmp_path_factory.mktemp("trained") / "model.keras"
    model.save(path)
    return path


def changed(path: Path, step: ModelPass) -> Any:
    """What the pass did, the weights afterwards, and with which precision and on how many devices each batch ran."""
    from contextlib import ExitStack

    import keras
    import tensorflow as tf

    from edgewright_converter.change import change
    from edgewright_converter.data import from_mapping
    from edgewright_converter.job import Request, Steps
    from edgewright_converter.targets import get_target

    recipe = Recipe("r", (step, Quantize("int8")))  # type: ignore[arg-type]
    request = Request(None, from_mapping(data()), recipe, get_target("local"), 1, {}, None, None, False, seed=0)
    seen: set[tuple[str, int]] = set()
    original = keras.layers.Dense.call

    def call(self: Any, inputs: Any, training: Any = None) -> Any:
        devices = tf.distribute.get_strategy().num_replicas_in_sync
        # Whoever learns from a teacher trains as in inference, and is known by the devices at work.
        if training or (devices > 1 and not tf.distribute.in_cross_replica_context()):
            seen.add((self.compute_dtype, devices))
        return original(self, inputs)

    with ExitStack() as undo:
        model = keras.models.load_model(path)
        keras.layers.Dense.call = call
        undo.callback(setattr, keras.layers.Dense, "call", original)
        result = change(model, request.data, request, Steps(lambda name, share: None, (step.use,)), undo)
        weights = {variable.path: variable.numpy() for variable in result.model.trainable_variables}
        kernel = np.asarray(result.model.get_layer("class").weights[0])
        policies = {layer.dtype_policy.name for layer in result.model._flatten_layers()}
    return result.outcomes[0], weights, kernel, policies, seen


def check(step: ModelPass, outcome: Any, weights: Any, kernel: Any) -> None:
    """It has learned, with float32 weights, and what the pass promises of them is there."""
    assert outcome.accuracy_after > 0.9, (step.use, outcome.accuracy_after)
    assert all(value.dtype == np.float32 and np.isfinite(value).all() for value in weights.values())
    if isinstance(step, Qat):
        steps = kernel / grids.weight_scale(kernel, (0,), 8)
        assert np.abs(steps - np.round(steps)).max() < 1e-3
    if isinstance(step, Prune):
        assert abs((kernel == 0).mean() - step.sparsity) < 0.02
    if isinstance(step, Cluster):
        assert len(np.unique(kernel)) <= step.clusters


@pytest.mark.parametrize(
    ("use", "policy"),
    [*((use, "mixed_bfloat16") for use in BFLOAT16), *((use, "mixed_float16") for use in FLOAT16)],
)
def test_a_pass_trains_in_mixed_precision_and_leaves_float32(trained: Path, use: str, policy: str) -> None:
    (step,) = (one for one in passes(mixed_precision=policy) if one.use == use)
    outcome, weights, kernel, policies, seen = changed(trained, step)
    check(step, outcome, weights, kernel)
    assert policies == {"float32"}
    if use != "qat":  # whose layers are computed by others than Dense.call
        assert {precision for precision, _ in seen} == {policy.removeprefix("mixed_")}


ON_TWO_DEVICES = """
    import sys
    from pathlib import Path
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

    from edgewright_converter.change import scope
    from edgewright_converter.recipe import Recipe
    from unit.converter.test_training_options import MIRRORED, changed, check, passes

    steps = [step for step in passes(strategy="mirrored") if step.use in MIRRORED]
    with scope(Recipe("r", tuple(steps[:1]))):  # one for all passes, as in a recipe of them all
        for step in steps:
            outcome, weights, kernel, _, seen = changed(Path(sys.argv[1]), step)
            check(step, outcome, weights, kernel)
            print(step.use, *sorted({count for _, count in seen}), flush=True)
"""


def test_passes_train_on_mirrored_devices(trained: Path) -> None:
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-c", textwrap.dedent(ON_TWO_DEVICES), str(trained)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split("\n")[:-1] == [f"{use} 2" for use in MIRRORED]
