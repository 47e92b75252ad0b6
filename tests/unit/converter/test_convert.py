"""Whole conversions, each with a child of its own: ways in, ways to fail, the same bytes again."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.models import tiny_tokenizer, words_tokenizer

from edgewright_converter.errors import ConversionError, ModelError
from edgewright_converter.pipeline import Conversion, convert
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.engines import open_engine
from edgewright_runtime.errors import EdgewrightError, InputError
from edgewright_runtime.text import Tokenizer

pytestmark = pytest.mark.slow

CODE = """
import numpy as np
rng = np.random.default_rng(0)
tokens = rng.integers(0, 11, (90, 8)).astype("int32")
data = dict(x_train=tokens, y_train=tokens[:, 0] % 3, x_test=tokens[:30], y_test=tokens[:30, 0] % 3)

def keras_model():
    import keras
    keras.utils.set_random_seed(1)
    x = keras.Input((None,), dtype="int32", name="tokens")
    y = keras.layers.LSTM(6)(keras.layers.Embedding(11, 8, mask_zero=True)(x))
    return keras.Model(x, keras.layers.Dense(3, activation="softmax", name="intent")(y), name="intents")

def load():
    return data

def pipelines():
    import tensorflow as tf
    def batches(x, y): return tf.data.Dataset.from_tensor_slices((x, y)).batch(7)
    return {"train": batches(tokens, tokens[:, 0] % 3).repeat(), "test": batches(tokens[:30], tokens[:30, 0] % 3)}

def x_alone():
    import tensorflow as tf
    return tf.data.Dataset.from_tensor_slices(tokens).batch(16)

def fft():
    import keras, tensorflow as tf
    class Spectrum(keras.layers.Layer):
        def call(self, x): return tf.math.real(tf.signal.fft(tf.cast(x, "complex64")))
    return keras.Sequential([keras.Input((8,)), Spectrum(name="spectrum")])

def svd():
    import keras, tensorflow as tf
    class Singular(keras.layers.Layer):
        def call(self, x): return tf.linalg.svd(tf.reshape(x, (1, 4, 2)), compute_uv=False)
    return keras.Sequential([keras.Input((8,)), Singular(name="singular")])

def noise():
    import keras, tensorflow as tf
    class Noise(keras.layers.Layer):
        def call(self, x): return x + tf.random.normal(tf.shape(x))
    return keras.Sequential([keras.Input((8,)), Noise()])

def strings():
    import keras
    x = keras.Input((), dtype="string", name="sentence")
    layer = keras.layers.TextVectorization(max_tokens=10, output_sequence_length=4)
    layer.adapt(["a b"])
    return keras.Model(x, keras.layers.Embedding(10, 3)(layer(x)))

def stateful():
    import keras
    x = keras.Input(batch_shape=(1, 8, 4))
    return keras.Model(x, keras.layers.LSTM(3, stateful=True, name="memory")(x))

def number():
    return 3
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code above and the same model in every form."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "code.py").write_text(CODE)
    script = """
import keras, numpy as np, code_of_models as code
model = code.keras_model()
model.save("m.keras"); model.save("m.h5"); model.export("saved", verbose=False)
np.savez("data.npz", **code.data)
inner = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2, name="twice")])
x = keras.Input((4,))
nested = keras.Model(x, keras.layers.Dense(2)(inner(x)))
nested.save("lambda.keras"); nested.save("lambda.h5")
class Mine(keras.layers.Layer):
    def call(self, x): return x + 1
keras.Sequential([keras.Input((4,)), Mine()]).save("custom.keras")
model.save_weights("only.weights.h5")
"""
    (folder / "code_of_models.py").write_text(CODE)
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, capture_output=True)
    return folder


def go(home: Path, model: Any, out: Path, **options: Any) -> Conversion:
    if isinstance(model, str):
        model = str(home / model)
    if isinstance(options.get("data"), str):
        options["data"] = str(home / options["data"])
    return convert(model, output=out / "out.ewb", **options)


def refuse(home: Path, kind: type[EdgewrightError], says: str, model: Any, out: Path, **options: Any) -> None:
    with pytest.raises(kind, match=says) as caught:
        go(home, model, out, **options)
    assert type(caught.value) is kind
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("model", ["m.keras", "m.h5", "saved", "code.py:keras_model"])
@pytest.mark.parametrize("recipe", ["float32", "dynamic-int8"])
def test_every_way_in_gives_the_same_answers(home: Path, model: str, recipe: str, tmp_path: Path) -> None:
    seen = []
    conversion = go(
        home, model, tmp_path, data="data.npz", recipe=recipe, progress=lambda step, share: seen.append((step, share))
    )
    assert conversion.difference < (1e-5 if recipe == "float32" else 0.01)
    bundle = Bundle.open(conversion.path)
    bundle.verify()
    variant = bundle.manifest.variant()
    assert [(spec.name, spec.shape, spec.dtype) for spec in variant.inputs] == [("tokens", (1, 8), "int32")]
    assert variant.outputs[0].shape == (1, 3)
    if model != "saved":  # Keras' export names it output_0
        assert variant.outputs[0].name == "intent"
    (outcome,) = conversion.outcomes
    assert outcome.accuracy_before is not None
    assert outcome.accuracy_after == pytest.approx(outcome.accuracy_before, abs=0.1)
    assert outcome.weight_bytes_before == 4 * (11 * 8 + 4 * 6 * (8 + 6 + 1) + 6 * 3 + 3)
    assert [share for _, share in seen] == sorted(share for _, share in seen)
    assert seen[-1] == ("done", 1.0)


def test_int8_of_a_recurrent_keras_file_works_and_of_a_saved_model_is_refused(home: Path, tmp_path: Path) -> None:
    assert go(home, "m.keras", tmp_path, data="data.npz", recipe="int8").difference < 0.02
    (tmp_path / "out.ewb").unlink()
    refuse(home, ConversionError, r"give the \.keras file instead", "saved", tmp_path, data="data.npz", recipe="int8")


def test_golden_samples_hold_in_the_engine(home: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(go(home, "m.keras", tmp_path, data="data.npz", recipe="int8-full").path)
    inputs, outputs = bundle.golden()
    model = bundle.model_path_or_bytes(bundle.manifest.variant())
    with open_engine(model, "litert") as engine:
        for sample, expected in zip(inputs[0], outputs[0], strict=True):
            assert (engine.invoke([sample])[0] == expected).all()


@pytest.mark.parametrize("recipe", ["float32", "int8", "int16x8"])
def test_the_same_bytes_from_other_processes_and_folders(home: Path, recipe: str, tmp_path: Path) -> None:
    hashes = set()
    for number, seed in enumerate(("0", "77", "random")):
        folder = tmp_path / str(number)
        folder.mkdir()
        script = f"""
from edgewright_converter.pipeline import convert
convert({str(home / "m.keras")!r}, data={str(home / "data.npz")!r}, recipe={recipe!r})
"""
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, env=environment)
        hashes.add(hashlib.sha256((folder / "m.ewb").read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_a_live_model_gives_the_same_bytes_each_time_and_is_left_alone(home: Path, tmp_path: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "live"}
    exec((home / "code.py").read_text(), namespace)
    model = namespace["keras_model"]()
    weights = [array.copy() for array in model.get_weights()]
    hashes = set()
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        conversion = go(home, model, folder, data=namespace["data"], recipe="int8")
        hashes.add(hashlib.sha256(conversion.path.read_bytes()).hexdigest())
    assert len(hashes) == 1
    assert conversion.manifest.name == "intents"
    assert not any(getattr(layer, "unroll", False) for layer in model.layers)
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))


@pytest.mark.parametrize("data", ["code.py:load", "code.py:pipelines", "code.py:x_alone"])
def test_data_from_functions(home: Path, data: str, tmp_path: Path) -> None:
    conversion = go(home, "m.keras", tmp_path, data=data, recipe="int8")
    assert conversion.difference < 0.02
    assert (conversion.outcomes[0].accuracy_after is None) == (data == "code.py:x_alone")


def test_sentences_with_labels_and_tokenizer(home: Path, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(tiny_tokenizer())
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    (tmp_path / "d.csv").write_text("text,label,split\nlights on,red,train\nlights off,blue,test\n")
    conversion = convert(
        home / "m.keras",
        data=tmp_path / "d.csv",
        labels=tmp_path / "labels.txt",
        tokenizer=tmp_path / "t.json",
        output=tmp_path / "out.ewb",
    )
    bundle = Bundle.open(conversion.path)
    assert bundle.labels() == ["red", "green", "blue"]
    tokenizer = bundle.tokenizer()
    assert tokenizer is not None
    assert tokenizer.encode("lights").tolist() == Tokenizer.from_json(tiny_tokenizer()).encode("lights").tolist()


def test_companions_that_do_not_belong_to_the_model(home: Path, tmp_path: Path) -> None:
    refuse(home, InputError, "2 labels, .* 3 classes", "m.keras", tmp_path, labels=["a", "b"], shapes={"tokens": 8})
    short = words_tokenizer([], 5)
    refuse(home, InputError, "gives 5 ids", "m.keras", tmp_path, tokenizer=short, shapes={"tokens": 8})
    large = words_tokenizer(map(str, range(20)), 8)
    refuse(home, InputError, "has 22 ids", "m.keras", tmp_path, tokenizer=large, shapes={"tokens": 8})


def test_open_sizes(home: Path, tmp_path: Path) -> None:
    refuse(home, InputError, "--shape tokens=24", "m.keras", tmp_path)
    refuse(home, InputError, "no input 'words'", "m.keras", tmp_path, shapes={"words": 3})
    conversion = go(home, "m.keras", tmp_path, shapes={"tokens": 5}, batch=2)
    assert conversion.manifest.variant().inputs[0].shape == (2, 5)


@pytest.mark.parametrize("model", ["lambda.keras", "lambda.h5"])
def test_safe_mode_stays_on_unless_the_file_is_trusted(home: Path, model: str, tmp_path: Path) -> None:
    refuse(home, ModelError, "convert with --trust", model, tmp_path)
    assert go(home, model, tmp_path, trust=True).difference < 1e-5


@pytest.mark.parametrize(
    ("model", "kind", "says"),
    [
        ("custom.keras", ModelError, "custom object Mine.*register_keras_serializable"),
        ("only.weights.h5", ModelError, "holds weights alone"),
        ("code.py:number", ModelError, r"returned a int: expected a keras\.Model"),
        ("code.py:strings", ModelError, "takes strings"),
        ("code.py:stateful", ModelError, "Layer memory is stateful"),
        ("code.py:fft", ConversionError, r"operator FFT \(layer spectrum"),
        ("code.py:svd", ConversionError, r"operator Svd \(layer singular"),
        ("code.py:noise", ConversionError, "draws at random"),
    ],
)
def test_models_that_cannot_be_converted(
    home: Path, model: str, kind: type[EdgewrightError], says: str, tmp_path: Path
) -> None:
    refuse(home, kind, says, model, tmp_path)


def test_damaged_model_files(home: Path, tmp_path: Path) -> None:
    whole = (home / "m.keras").read_bytes()
    out = tmp_path / "out"
    out.mkdir()
    middle = len(whole) // 2
    for name, content in [
        ("flip", whole[:300] + b"\xff" + whole[301:]),
        ("hole", whole[:middle] + whole[middle + 9 :]),
    ]:
        (tmp_path / f"{name}.keras").write_bytes(content)
        with pytest.raises((ModelError, InputError)):
            convert(tmp_path / f"{name}.keras", output=out / "out.ewb", shapes={"tokens": 8})
        assert list(out.iterdir()) == []


def test_data_that_does_not_fit(home: Path, tmp_path: Path) -> None:
    floats = {"x_train": np.zeros((5, 8))}
    refuse(home, InputError, "takes token ids: expected whole numbers", "m.keras", tmp_path, data=floats)
    refuse(home, InputError, "token id 11: .* 0 to 10", "m.keras", tmp_path, data={"x_train": np.full((5, 8), 11)})


def test_budget_and_target_are_kept(home: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text("[budget]\nsize_bytes = 500\n")
    out = tmp_path / "out"
    out.mkdir()
    refuse(home, ConversionError, "budget is 500", "m.keras", out, recipe=tmp_path / "small.toml", shapes={"tokens": 8})
    old = go(home, "m.keras", out, recipe="dynamic-int8", target="rpi3-tflite", shapes={"tokens": 8})
    assert old.manifest.provenance["target"] == "rpi3-tflite"
    assert old.manifest.variant().min_runtime != ""
