"""What others make of the models of benchmarks/quantization.py."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

# It refuses Embedding, LSTM, GRU, MultiHeadAttention, and the keywords' BatchNormalization of the features.
TFMOT_MODELS = ("fashion-ds-cnn",)
_OPTIONS = (  # of the layers of these models, that Keras 2 and 3 share
    *("filters", "kernel_size", "strides", "padding", "use_bias", "momentum", "epsilon", "target_shape", "rate"),
    *("units", "activation"),
)
_SAMPLES = 200


def _frozen(folder: Path, model: str, data: dict[str, Any], unroll: bool = False) -> tuple[Any, Any]:
    """A static-shape function: without it the converter refuses LSTMs and leaves the batch open."""
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    network = keras.models.load_model(folder / f"{model}.keras", compile=False)
    for layer in network.layers:
        if unroll and isinstance(layer, keras.layers.RNN):
            layer.unroll = True
    spec = tf.TensorSpec((1, *data["x_train"].shape[1:]), network.inputs[0].dtype, name="x")
    traced = tf.function(lambda x: network(x, training=False)).get_concrete_function(spec)
    return convert_variables_to_constants_v2(traced), network


def _batches(data: dict[str, Any]) -> Iterator[list[Any]]:
    rows = np.random.default_rng(0).permutation(len(data["x_train"]))[:_SAMPLES]
    yield from ([data["x_train"][row][None]] for row in rows)


def stock_float(folder: Path, model: str, data: dict[str, Any]) -> bytes:
    import tensorflow as tf

    function, network = _frozen(folder, model, data)
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], network).convert())


def stock_dynamic(folder: Path, model: str, data: dict[str, Any]) -> bytes:
    import tensorflow as tf

    function, network = _frozen(folder, model, data)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytes(converter.convert())


def stock_int8(folder: Path, model: str, data: dict[str, Any]) -> bytes:
    """With the steps of an RNN written out: on its loop the converter crashes."""
    import tensorflow as tf

    function, network = _frozen(folder, model, data, unroll=True)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _batches(data)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return bytes(converter.convert())


def _ai_edge(folder: Path, model: str, data: dict[str, Any], static: bool) -> bytes:
    import tensorflow as tf
    from ai_edge_quantizer import quantizer, recipe

    function, _ = _frozen(folder, model, data, unroll=static)
    serve = tf.Module()
    serve.call = tf.function(lambda x: {"y": function(x)[0]}, input_signature=[tf.TensorSpec(**_spec(function))])
    saved = folder / f"{model}.saved"
    tf.saved_model.save(serve, str(saved), signatures={"serving_default": serve.call.get_concrete_function()})
    path = folder / f"{model}.for-ai-edge.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(saved)).convert())
    make = recipe.static_wi8_ai8() if static else recipe.dynamic_wi8_afp32()
    quantizing = quantizer.Quantizer(str(path), make)
    calibration = quantizing.calibrate({"serving_default": [{"x": b[0]} for b in _batches(data)]}) if static else None
    return bytes(quantizing.quantize(calibration).quantized_model)


def _spec(function: Any) -> dict[str, Any]:
    (tensor,) = function.inputs
    return {"shape": tensor.shape, "dtype": tensor.dtype, "name": "x"}


def ai_edge_dynamic(folder: Path, model: str, data: dict[str, Any]) -> bytes:
    return _ai_edge(folder, model, data, static=False)


def ai_edge_static(folder: Path, model: str, data: dict[str, Any]) -> bytes:
    return _ai_edge(folder, model, data, static=True)


PEERS: dict[str, Callable[[Path, str, dict[str, Any]], bytes]] = {
    "stock float32": stock_float,
    "stock dynamic": stock_dynamic,
    "stock int8": stock_int8,
    "ai-edge dynamic": ai_edge_dynamic,
    "ai-edge static": ai_edge_static,
}


def tfmot_python(folder: Path) -> Path:
    """The interpreter of an environment of TFMOT and Keras 2, made in the folder ``tfmot`` where it is not there."""
    python = folder / "tfmot" / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "tfmot")], check=True)
        wanted = ["tensorflow-cpu==2.21.0", "tf-keras==2.21.0", "tensorflow-model-optimization==0.8.1"]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python


def tfmot(folder: Path, model: str, data: dict[str, Any]) -> bytes:
    """Quantization-aware training by TFMOT, as long and at ours' rate, on a Keras 2 twin with the same weights."""
    import keras

    python = tfmot_python(folder)
    network = keras.models.load_model(folder / f"{model}.keras", compile=False)
    weights, chain = folder / f"{model}.weights.npz", folder / f"{model}.layers.json"
    np.savez(weights, *network.get_weights())
    layers = [
        (type(layer).__name__, {key: value for key, value in layer.get_config().items() if key in _OPTIONS})
        for layer in network.layers[1:]
    ]
    chain.write_text(json.dumps([network.inputs[0].shape[1:], layers]))
    out = folder / f"{model}.tfmot.tflite"
    twin = Path(__file__).with_name("quantization_tfmot.py")
    subprocess.run(
        [str(python), str(twin), str(chain), str(weights), str(folder / f"{model}.npz"), str(out)], check=True
    )
    return out.read_bytes()
