"""How small and fast a model gets at the same accuracy: edgewright's recipes against what one would use instead.

    python benchmarks/shrink.py --folder CACHE [--tasks intents sentiment topics cnn] [--runs 2000]
    python benchmarks/shrink.py --folder CACHE --tasks intents --choose A.toml B.toml

The folder keeps teachers, data and checkpoints between runs (the first run trains the teachers). Rows: the teacher in
float32; stock tf.lite in float32, dynamic and full int8; ai-edge-quantizer where it is installed; of the task cnn
TFMOT's chain (prune, cluster, QAT), in an environment of its own in the folder; edgewright's recipe for the task.
Every row is a flatbuffer, scored on the test samples through the engine. Latency: all rows in turns in one process, one
thread, the smallest of the medians of 40 blocks. Ratios are to the teacher's float32. Exit code 1 where a limit does
not hold. --choose compares recipes, or the task's own where none is named, without the test samples: teacher and
students learn without a part of the training samples, and the rows are scored on that part.
"""

import argparse
import os
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from quantization_peers import tfmot_python
from shrink_tasks import TASKS, Arrays, Task, prepare

from edgewright_converter.check import answers, engine_for
from edgewright_converter.fitting import CALIBRATION_SAMPLES
from edgewright_converter.passes.base import cross_entropy
from edgewright_converter.pipeline import convert
from edgewright_converter.recipe import parse_recipe
from edgewright_runtime.bundle import Bundle

BLOCKS = 40
PCQAT = "TFMOT prune, cluster, QAT"


@dataclass
class Row:
    """One flatbuffer. us: the smallest median of a block."""

    name: str
    model: bytes
    accuracy: float = 0.0
    perplexity: float = 1.0
    us: float = 0.0

    @property
    def compressed(self) -> int:
        """Bytes after DEFLATE."""
        return len(zlib.compress(self.model, 9))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for teachers, data and checkpoints")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--runs", type=int, default=2000, help="of each model, for the latency")
    parser.add_argument("--choose", nargs="*", type=Path, help="recipes, compared on a part of the training samples")
    arguments = parser.parse_args()
    kept = [run(TASKS[name], arguments.folder, arguments.runs, arguments.choose) for name in arguments.tasks]
    return 0 if all(kept) else 1


def run(task: Task, cache: Path, runs: int, choice: list[Path] | None) -> bool:
    """choice: recipes to compare on a part of the training samples; None: the task's own meets the test samples."""
    folder = cache / (task.name if choice is None else f"{task.name}-choice")
    prepare(task, folder, choosing=choice is not None)
    with np.load(folder / "data.npz") as archive:
        data = {key: archive[key] for key in archive.files}
    rows = [Row("float32", edgewright(folder, 'name = "float32"', "float32"))]
    if choice is None:
        rows += [Row(name, model) for name, model in stock(folder, data)]
        rows += [Row(name, model) for name, model in ai_edge_quantizer(rows[1].model, data)]
    if task.name == "cnn":
        rows.append(Row(PCQAT, tfmot(cache, folder)))
    recipes = {path.stem: path.read_text() for path in choice or []} or {"edgewright": task.recipe}
    rows += [Row(name, edgewright(folder, recipe, name)) for name, recipe in recipes.items()]
    score(rows, data)
    measure(rows, data["x_test"][:50], runs)
    print(f"\n{task.name}: {len(data['x_train']):,} samples to train on, {len(data['x_test']):,} to test on\n")
    print(table(task, rows), flush=True)
    if choice is not None:
        return True
    kept = [told(*check) for check in checks(task, rows)]
    return all(kept)


def table(task: Task, rows: list[Row]) -> str:
    """As Markdown, each row beside its share of the first."""
    teacher = rows[0]
    figure = "accuracy" if task.perplexity_limit is None else "perplexity"
    lines = [f"| {task.name} | bytes | | compressed | {figure} | p50 µs | |", "|---|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        value = f"{row.accuracy:.4f}" if figure == "accuracy" else f"{row.perplexity:.1f}"
        lines.append(
            f"| {row.name} | {len(row.model):,} | {len(row.model) / len(teacher.model):.3f} | {row.compressed:,} "
            f"| {value} | {row.us:.1f} | {row.us / teacher.us:.3f} |"
        )
    return "\n".join(lines)


def checks(task: Task, rows: list[Row]) -> list[tuple[str, float, float]]:
    """What, value, limit: of the last row against the first, and against TFMOT's where there is one."""
    teacher, ours = rows[0], rows[-1]
    found = [
        ("bytes", len(ours.model) / len(teacher.model), task.bytes_limit),
        ("latency", ours.us / teacher.us, task.latency_limit),
        ("accuracy lost", teacher.accuracy - ours.accuracy, task.drop),
        ("perplexity", ours.perplexity / teacher.perplexity, task.perplexity_limit),
    ]
    for peer in rows:
        if peer.name == PCQAT:
            found += [
                (f"compressed bytes, of {PCQAT}", ours.compressed / peer.compressed, 0.5),
                (f"latency, of {PCQAT}", ours.us / peer.us, 1.0),
                (f"accuracy lost, of {PCQAT}", peer.accuracy - ours.accuracy, 0.0),
            ]
    return [(name, value, limit) for name, value, limit in found if limit is not None]


def told(name: str, value: float, limit: float) -> bool:
    print(f"{name}: {value:.4f}, limit {limit:.4f}: {'holds' if value <= limit else 'DOES NOT HOLD'}", flush=True)
    return value <= limit


def edgewright(folder: Path, recipe: str, name: str) -> bytes:
    conversion = convert(
        folder / "teacher.keras",
        data=folder / "data.npz",
        recipe=parse_recipe(recipe, name),
        output=folder / f"{name}.ewb",
        checkpoints=folder / "checkpoints",
        timeout_s=7200,
    )
    for outcome in conversion.outcomes:
        told = {key: value for key, value in outcome.to_dict().items() if key.endswith(("_before", "_after"))}
        print(outcome.use, {key: value for key, value in told.items() if value is not None}, flush=True)
    return Bundle.open(conversion.path).read("model.tflite")


def stock(folder: Path, data: Arrays) -> list[tuple[str, bytes]]:
    """tf.lite as its guide has it, on a concrete function with a batch of one."""
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = keras.models.load_model(folder / "teacher.keras", compile=False)
    spec = tf.TensorSpec((1, *data["x_train"].shape[1:]), tf.int32, name="tokens")
    traced = tf.function(lambda tokens: model(tokens, training=False)).get_concrete_function(spec)
    frozen = convert_variables_to_constants_v2(traced)
    graph, entrance, exit = frozen.graph.as_graph_def(), frozen.inputs[0].name, frozen.outputs[0].name

    def serve(tokens: Any) -> dict[str, Any]:  # gives the flatbuffer a signature, which ai-edge-quantizer asks for
        return {"output": tf.graph_util.import_graph_def(graph, {entrance: tokens}, [exit], name="")[0]}

    served = tf.function(serve, autograph=False).get_concrete_function(spec)
    found = []
    for name in ("tf.lite float32", "tf.lite dynamic int8", "tf.lite int8"):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([served], tf.Module())
        converter.optimizations = [] if name == "tf.lite float32" else [tf.lite.Optimize.DEFAULT]
        if name == "tf.lite int8":
            samples = data["x_train"][:CALIBRATION_SAMPLES]
            converter.representative_dataset = lambda samples=samples: ([row[None]] for row in samples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        found.append((name, converter.convert()))
    return found


def ai_edge_quantizer(model: bytes, data: Arrays) -> list[tuple[str, bytes]]:
    """Its two recipes for int8 weights, on tf.lite's float32 flatbuffer; none where it is not installed."""
    try:
        from ai_edge_quantizer import quantizer, recipe
    except ImportError:
        print("ai-edge-quantizer is not installed here: no rows of it")
        return []
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        path = Path(name) / "model.tflite"
        path.write_bytes(model)
        dynamic = quantizer.Quantizer(str(path), recipe.dynamic_wi8_afp32())
        found = [("ai-edge-quantizer dynamic", bytes(dynamic.quantize().quantized_model))]
        static = quantizer.Quantizer(str(path), recipe.static_wi8_ai8())
        with engine_for(model) as engine:
            entrance = engine.inputs[0].name
        samples = [{entrance: row[None]} for row in data["x_train"][:CALIBRATION_SAMPLES]]
        calibrated = static.calibrate({"serving_default": samples})
        found.append(("ai-edge-quantizer static", bytes(static.quantize(calibrated).quantized_model)))
    return found


def tfmot(cache: Path, folder: Path) -> bytes:
    """Its whole chain on the teacher's twin in Keras 2, with the same weights and samples; kept in the folder."""
    import keras

    out = folder / "tfmot.tflite"
    if not out.is_file():
        weights = folder / "weights.npz"
        np.savez(weights, *keras.models.load_model(folder / "teacher.keras", compile=False).get_weights())
        script = Path(__file__).with_name("shrink_tfmot.py")
        command = [tfmot_python(cache), script, weights, folder / "data.npz", out]
        subprocess.run([str(word) for word in command], check=True)
    return out.read_bytes()


def score(rows: list[Row], data: Arrays) -> None:
    for row in rows:
        with engine_for(row.model) as engine:
            names = tuple(spec.name for spec in engine.inputs)
            found = np.concatenate([outputs[0] for outputs in answers(engine, names, (data["x_test"],))])
        truth = data["y_test"]
        row.accuracy = float((found.argmax(-1) == truth).mean())
        row.perplexity = float(np.exp(cross_entropy(found, truth)))


def measure(rows: list[Row], samples: Any, runs: int) -> None:
    """Blocks of each model by turns, so that what else the machine does hits all alike."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        engines = [stack.enter_context(engine_for(row.model)) for row in rows]
        medians: list[list[float]] = [[] for _ in rows]
        for _ in range(BLOCKS):
            for engine, found in zip(engines, medians, strict=True):
                times = []
                for index in range(max(5, runs // BLOCKS)):
                    feeds = [samples[index % len(samples)][None].astype(engine.inputs[0].dtype)]
                    began = time.perf_counter_ns()
                    engine.invoke(feeds)
                    times.append(time.perf_counter_ns() - began)
                found.append(median(times))
    for row, found in zip(rows, medians, strict=True):
        row.us = min(found) / 1000


if __name__ == "__main__":
    sys.exit(main())
