"""What each mode's flatbuffer costs: bytes, median latency and distance from float, beside tf.lite and
ai-edge-quantizer.

    python benchmarks/lowering.py [--models intent lstm ...] [--rounds 60] [--tflite .venv-tflite/bin/python]

Models (untrained, since neither bytes nor time depend on the training): the demo's intent Transformer; LSTM and GRU
classifiers, Embedding(4000, 64) → RNN(64), 32 steps; a two-layer causal Transformer language model; an LSTM language
model of one step with its state; a text CNN; a depthwise-separable CNN for keywords. Peers: stock tf.lite with the
frozen graph of the same model (float32, dynamic range, full int8 where it does not crash), and ai-edge-quantizer's
dynamic int8 recipe on the stock float32 file. "int8-fast, probed" is for this machine's processor, as after `edgewright
device probe`; "int8 for Coral", an LSTM as one operator, runs on the CPU here; the other modes are for any. All files
of a model run by turns in one process on one thread; ratios are to stock float32. Difference: largest |answer - Keras'|
over 30 samples, relative to the largest answer. --tflite: an interpreter with tflite-runtime 2.14; then each mode is
converted for that target, too, and must load there and answer as here.

Limits, exit code 1 where one does not hold: bytes 0.27 × float32 (0.36 where steps are written out; 4 bits: 0.17 and
0.27); int8-fast at most the best of stock's, probed at most float32, int8 at most stock's int8; LSTM and GRU int8-fast
at most 0.7 × the float32 loop.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

MODES = ("float32", "dynamic-int8", "int8-fast", "int8", "int4")
PROBED = "int8-fast, probed"
CORAL = "int8 for Coral"
RECURRENT = ("lstm", "gru")
CALIBRATION = 100
Samples = dict[str, np.ndarray]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=60, help="of ten invocations of each file")
    parser.add_argument("--tflite", help="Python with tflite-runtime 2.14 and ai-edge-litert")
    parser.add_argument("--old-runtime", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.old_runtime:
        return old_runtime(*map(Path, arguments.old_runtime))
    broken: list[str] = []
    for name in arguments.models:
        broken += compare(name, arguments.rounds, arguments.tflite)
    print(*(f"does not hold: {line}" for line in broken), sep="\n")
    return 1 if broken else 0


def compare(name: str, rounds: int, tflite: str | None) -> list[str]:
    """Print the table of one model; returns the limits that do not hold."""
    import keras

    from edgewright.probe import parse_cpu_features
    from edgewright_converter.targets import get_target

    keras.utils.set_random_seed(1)
    model = MODELS[name]()
    for weight in model.weights:  # away from the zeros that biases begin with
        if weight.name in ("bias", "beta"):
            weight.assign(np.random.default_rng(3).normal(0, 0.05, weight.shape))
    data = samples(model, CALIBRATION)
    files = stock(name, model, data)
    files["ai-edge-quantizer dynamic"] = ai_edge_quantizer(files["tf.lite float32"])
    files |= {mode: edgewright(model, data, mode, get_target("local")) for mode in MODES}
    if name in RECURRENT:
        files[CORAL] = edgewright(model, data, "int8", get_target("coral-usb"))
    features = parse_cpu_features(Path("/proc/cpuinfo").read_text()) or ()
    files[PROBED] = edgewright(model, data, "int8-fast", replace(get_target("local"), cpu_features=features))
    reference = np.asarray(
        first(model([x[:30] for x in data.values()] if len(data) > 1 else data[next(iter(data))][:30]))
    )
    times = timed({key: file for key, file in files.items() if file}, data, rounds)
    base = median(times["tf.lite float32"])
    print(f"\n{name:<28} {'bytes':>10} {'ratio':>6} {'p50 µs':>8} {'ratio':>6} {'difference':>11}")
    ratio, size = {}, {}
    for key, file in files.items():
        if not file:
            print(f"{key:<28} {'refused':>10}")
            continue
        ratio[key], size[key] = median(times[key]) / base, len(file) / len(files["tf.lite float32"])
        apart = difference(file, data, reference)
        figures = f"{len(file):>10,} {size[key]:>6.3f} {median(times[key]):>8.1f} {ratio[key]:>6.2f} {apart:>11.2g}"
        print(f"{key:<28} {figures}", flush=True)
    broken = limits(name, size, ratio)
    if tflite:
        old = {mode: edgewright(model, data, mode, get_target("local-tflite")) for mode in MODES}
        broken += on_old_runtime(name, old, data, reference, tflite)
    return broken


def limits(name: str, size: dict[str, float], ratio: dict[str, float]) -> list[str]:
    eight, four = (0.36, 0.27) if name in RECURRENT else (0.27, 0.17)
    fast = min(ratio[key] for key in ratio if key.startswith("tf.lite"))
    checks = [(f"{name} {mode}: bytes", size[mode], eight) for mode in ("dynamic-int8", "int8-fast", "int8")]
    checks += [(f"{name} int4: bytes", size["int4"], four)]
    checks += [(f"{name} int8-fast: median beside the best of tf.lite", ratio["int8-fast"], fast * 1.02)]
    checks += [(f"{name} {PROBED}: median beside float32", ratio[PROBED], 1.02)]
    if "tf.lite int8" in ratio:
        checks += [(f"{name} int8: median beside tf.lite's int8", ratio["int8"], ratio["tf.lite int8"] * 1.02)]
    if name in RECURRENT:
        checks += [(f"{name} int8-fast: median beside the float32 loop", ratio["int8-fast"], 0.7)]
    return [f"{what} {found:.3f}, at most {most:.3f}" for what, found, most in checks if found > most]


def stock(name: str, model: Any, data: Samples) -> dict[str, bytes]:
    """tf.lite alone; b"" where it refuses. Full int8 of a loop is left out: it crashes the process."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    specs = [tf.TensorSpec((1, *x.shape[1:]), x.dtype, name=key) for key, x in data.items()]
    function = tf.function(lambda *x: model(list(x) if len(x) > 1 else x[0], training=False))
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(*specs), lower_control_flow=False)
    files = {}
    for mode in ("float32", "dynamic", "int8"):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], model)
        if mode != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if mode == "int8":
            converter.representative_dataset = lambda: (
                [x[n : n + 1] for x in data.values()] for n in range(CALIBRATION)
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        loop = name in (*RECURRENT, "lm-lstm") and mode == "int8"
        files[f"tf.lite {mode}"] = b"" if loop else converter.convert()
    return files


def ai_edge_quantizer(float32: bytes) -> bytes:
    from ai_edge_quantizer import quantizer, recipe

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(float32)
        try:
            made = quantizer.Quantizer(str(path), recipe.dynamic_wi8_afp32())
            return bytes(made.quantize().quantized_model)
        except Exception as error:  # whatever it raises for a model that it does not take
            print(f"ai-edge-quantizer: {str(error).splitlines()[0][:100]}", file=sys.stderr)
            return b""


def edgewright(model: Any, data: Samples, recipe: str, target: Any) -> bytes:
    """The conversion without its child process and bundle."""
    from edgewright_converter.back import finish
    from edgewright_converter.data import from_mapping
    from edgewright_converter.front import prepare
    from edgewright_converter.job import Request, Steps
    from edgewright_converter.recipe import Recipe

    arrays = {"x_train" if len(data) == 1 else f"x_train.{key}": x for key, x in data.items()}
    request = Request(None, from_mapping(arrays), Recipe.load(recipe), target, 1, {}, None, None, False, seed=0)
    steps = Steps(lambda step, fraction: None)
    return finish(prepare(model, request, steps), request, steps).model


def timed(files: dict[str, bytes], data: Samples, rounds: int) -> dict[str, list[float]]:
    """Microseconds of each invocation, the files by turns."""
    runs = {key: opened(file, data) for key, file in files.items()}
    found: dict[str, list[float]] = {key: [] for key in runs}
    for interpreter in runs.values():
        for _ in range(30):
            interpreter.invoke()
    for _ in range(rounds):
        for key, interpreter in runs.items():
            interpreter.invoke()
            for _ in range(10):
                began = time.perf_counter_ns()
                interpreter.invoke()
                found[key].append((time.perf_counter_ns() - began) / 1000)
    return found


def opened(file: bytes, data: Samples) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=file, num_threads=1)
    interpreter.allocate_tensors()
    feed(interpreter, data, 0)
    return interpreter


def feed(interpreter: Any, data: Samples, number: int) -> None:
    """By shape and dtype, since a file made by other tools has other names."""
    for detail in interpreter.get_input_details():
        rows = [x[number : number + 1] for x in data.values()]
        fits = [x for x in rows if x.shape == tuple(detail["shape"]) and x.dtype == detail["dtype"]]
        interpreter.set_tensor(detail["index"], fits[0])


def difference(file: bytes, data: Samples, reference: np.ndarray) -> float:
    interpreter = opened(file, data)
    outputs = interpreter.get_output_details()
    detail = next(d for d in outputs if tuple(d["shape"][1:]) == reference.shape[1:])
    worst = 0.0
    for number in range(len(reference)):
        feed(interpreter, data, number)
        interpreter.reset_all_variables()
        interpreter.invoke()
        worst = max(worst, float(np.abs(interpreter.get_tensor(detail["index"])[0] - reference[number]).max()))
    return worst / float(np.abs(reference).max())


def on_old_runtime(name: str, files: dict[str, bytes], data: Samples, reference: np.ndarray, python: str) -> list[str]:
    """Load and run each file in tflite-runtime 2.14; returns which answer worse than in ai-edge-litert: farther from
    Keras by a quarter, and by more than a step of 8 bits over the answers."""
    with tempfile.TemporaryDirectory() as folder:
        for mode, file in files.items():
            (Path(folder) / f"{mode}.tflite").write_bytes(file)
        np.savez(Path(folder) / "data.npz", reference=reference, **data)
        command = [python, __file__, "--old-runtime", folder, f"{folder}/data.npz"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    print(
        f"{'on tflite-runtime 2.14':<28} " + ", ".join(f"{m} {v['us']:.0f} µs" for m, v in found.items() if "us" in v)
    )
    return [
        f"{name} {mode} on tflite-runtime 2.14: {value.get('error') or value}"
        for mode, value in found.items()
        if "error" in value or value["old"] > 1.25 * value["new"] + float(np.abs(reference).max()) / 256
    ]


def old_runtime(folder: Path, data: Path) -> int:
    """In the old runtime's environment: JSON of the median and of both engines' distances from Keras, by mode."""
    from ai_edge_litert.interpreter import Interpreter as New
    from tflite_runtime.interpreter import Interpreter as Old

    arrays = dict(np.load(data))
    reference = arrays.pop("reference")
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.tflite")):
        try:
            found[path.stem] = {}
            for name, kind in (("old", Old), ("new", New)):
                interpreter = kind(model_path=str(path), num_threads=1)
                interpreter.allocate_tensors()
                details = interpreter.get_output_details()
                index = next(d["index"] for d in details if tuple(d["shape"][1:]) == reference.shape[1:])
                worst, spent = 0.0, []
                for number, expected in enumerate(reference):
                    feed(interpreter, arrays, number)
                    began = time.perf_counter_ns()
                    interpreter.invoke()
                    spent.append((time.perf_counter_ns() - began) / 1000)
                    worst = max(worst, float(np.abs(interpreter.get_tensor(index)[0] - expected).max()))
                found[path.stem][name] = worst
                found[path.stem].setdefault("us", median(spent))
        except (ValueError, RuntimeError) as error:
            found[path.stem] = {"error": str(error).splitlines()[0]}
    print(json.dumps(found))
    return 0


def first(result: Any) -> Any:
    return result[0] if isinstance(result, list | tuple) else result


def samples(model: Any, count: int) -> Samples:
    """By input; both states of an LSTM have the same numbers, since files do not say which is which."""
    rng = np.random.default_rng(0)
    words = next((layer.input_dim for layer in model.layers if hasattr(layer, "input_dim")), 1)
    found = {
        tensor.name: rng.integers(0, words, (count, *tensor.shape[1:])).astype(np.int32)
        if tensor.dtype == "int32"
        else rng.standard_normal((count, *tensor.shape[1:])).astype(np.float32) / (2 if tensor.name == "h" else 1)
        for tensor in model.inputs
    }
    return {name: found["h"] if name == "c" else x for name, x in found.items()}


def intent() -> Any:
    from edgewright_converter.language.train import TRANSFORMER
    from edgewright_converter.language.zoo import build

    return build("transformer", vocabulary=1500, length=24, heads={"intent": 42}, **TRANSFORMER)


def recurrent(kind: str) -> Any:
    from keras import Input, Model, layers

    tokens = Input((32,), dtype="int32", name="tokens")
    y = getattr(layers, kind)(64)(layers.Embedding(4000, 64)(tokens))
    return Model(tokens, layers.Dense(42, activation="softmax")(y))


def causal_transformer(words: int = 2000, length: int = 32, width: int = 128) -> Any:
    from keras import Input, Model, layers, ops

    tokens = Input((length,), dtype="int32", name="tokens")
    positions = ops.cumsum(ops.ones_like(tokens), axis=-1) - 1
    x = layers.Embedding(words, width)(tokens) + layers.Embedding(length, width)(positions)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(4, width // 4)(y, y, use_causal_mask=True)
        y = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(width)(y)
    return Model(tokens, layers.Dense(words)(layers.LayerNormalization()(x)))


def lstm_step(words: int = 2000, width: int = 128) -> Any:
    from keras import Input, Model, layers

    token = Input((1,), dtype="int32", name="token")
    states = [Input((width,), name=name) for name in ("h", "c")]
    y, h, c = layers.LSTM(width, return_state=True)(layers.Embedding(words, width)(token), initial_state=states)
    # Other shapes than the logits' tell the outputs apart.
    return Model([token, *states], [layers.Dense(words)(y), layers.Identity()(h), layers.Identity()(c)])


def text_cnn() -> Any:
    from keras import Input, Model, layers

    tokens = Input((32,), dtype="int32", name="tokens")
    y = layers.Conv1D(64, 3, activation="relu", padding="same")(layers.Embedding(4000, 64)(tokens))
    y = layers.Dense(32, activation="relu")(layers.GlobalMaxPooling1D()(y))
    return Model(tokens, layers.Dense(1, activation="sigmoid")(y))


def ds_cnn() -> Any:
    """After Zhang et al. 2017, "Hello Edge", size small."""
    from keras import Input, Model, layers

    spectrum = Input((49, 10, 1), name="spectrum")
    y = layers.Conv2D(64, (10, 4), strides=2, padding="same", use_bias=False)(spectrum)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    for _ in range(4):
        y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
        y = layers.Conv2D(64, 1, use_bias=False)(layers.ReLU()(layers.BatchNormalization()(y)))
        y = layers.ReLU()(layers.BatchNormalization()(y))
    return Model(spectrum, layers.Dense(12, activation="softmax")(layers.GlobalAveragePooling2D()(y)))


MODELS = {
    "intent": intent,
    "lstm": lambda: recurrent("LSTM"),
    "gru": lambda: recurrent("GRU"),
    "lm-transformer": causal_transformer,
    "lm-lstm": lstm_step,
    "text-cnn": text_cnn,
    "ds-cnn": ds_cnn,
}

if __name__ == "__main__":
    sys.exit(main())
