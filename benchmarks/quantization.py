"""Quantization side by side: the float model, edgewright's recipes, stock tf.lite, ai-edge-quantizer, TFMOT.

    python benchmarks/quantization.py FOLDER [--models intent-lstm,lm-lstm] [--quick] [--tfmot]

Trains each model once, then converts it in every way for this machine, each in a child process, and scores what came
out on the same test samples, with ai-edge-litert and, where .venv-tflite is (`make .venv-tflite/.installed`), with
tflite-runtime 2.14. Models and finished rows are kept in FOLDER. Classifiers: accuracy; language models: perplexity.
"same" and dB compare the flatbuffer's answers with those of the fake-quantized Keras model that it was made from: the
part of equal classes, and the SQNR of the outputs, 10·log10(signal²/error²). p50: the median latency in ai-edge-litert
on one thread, all files of a model by turns in one process. Bytes and p50 are ratios to stock tf.lite's float32 file,
where an RNN is a loop. ai-edge-quantizer (`pip install ai-edge-quantizer==0.10.0`) and TFMOT (--tfmot makes an
environment of its own in FOLDER) are told as missing where they are.

Limits, exit code 1 where one does not hold: int8-qat within 0.3 points of accuracy or 1 % of perplexity, int4-qat
within a point or 3 %; their bytes 0.27 x float32 (0.36 where steps are written out; 4 bits: 0.17 and 0.27); of int8-qat
the same class for 99.5 % of the answers, 30 dB; "for 2.14" loads there and scores as here; p50 of the intent
Transformer 0.35 in int8-fast, and at most stock dynamic's, 0.6 in int8; of LSTM and GRU 0.7 in int8-fast.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

from lowering import timed
from quantization_models import MODELS, train_model
from quantization_peers import PEERS, TFMOT_MODELS, tfmot

ROOT = Path(__file__).parents[1]
TFLITE = ROOT / ".venv-tflite" / "bin" / "python"
TEST_SAMPLES = 3000  # the most that are scored: all there are
ROUNDS = 60  # of ten invocations of each file
MOST_BYTES = {"int8-qat": (0.27, 0.36), "int4-qat": (0.17, 0.27)}  # the second where steps are written out
MOST_LOST = {"int8-qat": (0.003, 1.01), "int4-qat": (0.01, 1.03)}  # of accuracy; times the perplexity
LEAST_SAME, LEAST_DB = 0.995, 30.0  # of int8-qat
MOST_P50 = {  # x float32
    ("intent-transformer", "int8-fast"): 0.35,
    ("intent-transformer", "int8"): 0.6,
    ("intent-lstm", "int8-fast"): 0.7,
    ("intent-gru", "int8-fast"): 0.7,
}
QAT = {"int8-qat": "int8", "int8-fast-qat": "int8-fast", "int4-qat": "int4"}
OLD = " for 2.14"  # converted for that runtime
BASE = "stock float32"
OURS = ("float32", "int8-fast", f"int8-fast{OLD}", "int8", f"int8{OLD}", "int4", *QAT)


@dataclass(frozen=True)
class Row:
    """One way of one model. score: accuracy, or perplexity of a language model; old_score: on tflite-runtime 2.14;
    p50_us: median microseconds of a sample."""

    model: str
    way: str
    size_bytes: int = 0
    p50_us: float | None = None
    score: float | None = None
    old_score: float | None = None
    same: float | None = None
    sqnr_db: float | None = None
    note: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--quick", action="store_true", help="barely trained models, few samples: to see that it runs")
    parser.add_argument("--tfmot", action="store_true", help="compare with TFMOT too, on the models that it takes")
    parser.add_argument("--ways", default=",".join([*PEERS, *OURS]), help=f"beside {BASE}, with which all are compared")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--timed", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.one:
        print("\n" + json.dumps(one(folder, *arguments.one, arguments.quick).__dict__))
        return 0
    if arguments.timed:
        print("\n" + json.dumps(p50_us(folder, arguments.timed, arguments.ways.split(","))))
        return 0
    broken: list[str] = []
    for model in arguments.models.split(","):
        broken += compare(folder, model, arguments.ways.split(","), arguments)
    print(*(f"\ndoes not hold: {line}" for line in broken), sep="")
    return 1 if broken else 0


def compare(folder: Path, model: str, ways: list[str], arguments: argparse.Namespace) -> list[str]:
    """Print the model's table; returns the limits that do not hold."""
    ways = [BASE, *(way for way in ways if way != BASE)]
    rows = {}
    for way in [*ways, *(["tfmot"] if arguments.tfmot and model in TFMOT_MODELS else [])]:
        print(f"{model}: {way}", file=sys.stderr, flush=True)
        rows[way] = in_child(folder, model, way, arguments.quick)
    made = [way for way, row in rows.items() if row.size_bytes]
    medians = child(folder, "--timed", model, "--ways", ",".join(made))
    rows |= {way: replace(rows[way], p50_us=value) for way, value in medians.items()}
    print(f"\n| {model} | bytes | / float32 | p50 | score | on 2.14 | same | dB |\n|---|{'---:|' * 7}")
    print(*(line(row, rows[BASE]) for row in rows.values()), sep="\n", flush=True)
    return [f"{model} {way}: {words}" for way, row in rows.items() for words in limits(row, rows)]


def in_child(folder: Path, model: str, way: str, quick: bool) -> Row:
    """A crash of TensorFlow is the row's note."""
    kept = file_of(folder, model, way).with_suffix(".json")
    try:
        if not kept.is_file():
            kept.write_text(json.dumps(child(folder, "--one", model, way, *(["--quick"] if quick else []))))
        return Row(**json.loads(kept.read_text()))
    except subprocess.CalledProcessError as error:
        words = [line for line in error.stderr.splitlines() if line.strip()] or ["no word"]
        return Row(model, way, note=f"exit code {error.returncode}: {words[-1][:90]}")


def child(folder: Path, *arguments: str) -> dict[str, Any]:
    """What this file prints, called again with other arguments."""
    command = [sys.executable, __file__, str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def one(folder: Path, model: str, way: str, quick: bool) -> Row:
    if not (folder / f"{model}.keras").is_file():
        train_model(model, folder, quick)
    with np.load(folder / f"{model}.npz") as archive:
        data = {key: archive[key] for key in archive.files}
    rows = np.random.default_rng(0).permutation(len(data["x_test"]))[: 100 if quick else TEST_SAMPLES]
    data["x_test"], data["y_test"] = data["x_test"][rows], data["y_test"][rows]
    keras_answers = None
    path = file_of(folder, model, way)
    if way in OURS:
        flatbuffer, keras_answers = ours(folder / f"{model}.keras", data, way, quick)
    else:
        make = tfmot if way == "tfmot" else PEERS[way]
        flatbuffer = make(folder, model, data)
    path.write_bytes(flatbuffer)
    answers = run(flatbuffer, data["x_test"])
    truth = data["y_test"]
    return Row(
        model=model,
        way=way,
        size_bytes=len(flatbuffer),
        score=score(answers, truth),
        old_score=old_score(path, data["x_test"], truth),
        same=None if keras_answers is None else float((answers.argmax(-1) == keras_answers.argmax(-1)).mean()),
        sqnr_db=None if keras_answers is None else sqnr(keras_answers, answers),
    )


def file_of(folder: Path, model: str, way: str) -> Path:
    return folder / f"{model}.{way.replace(' ', '-')}.tflite"


def p50_us(folder: Path, model: str, ways: list[str]) -> dict[str, float]:
    with np.load(folder / f"{model}.npz") as archive:
        samples = archive["x_test"][:1]
    # For the time it does not matter which numbers they are, and a static file of ai-edge-quantizer wants int8.
    inputs = {"x": samples, "x in integers": samples.astype(np.int8)}
    files = {way: file_of(folder, model, way).read_bytes() for way in ways}
    return {way: median(values) for way, values in timed(files, inputs, ROUNDS).items()}


def ours(path: Path, data: dict[str, Any], way: str, quick: bool) -> tuple[bytes, Any]:
    """The flatbuffer, and the answers of the graph that it was made from, run by TensorFlow."""
    from edgewright_converter.back import finish
    from edgewright_converter.data import from_mapping
    from edgewright_converter.front import prepare
    from edgewright_converter.job import Request, Steps
    from edgewright_converter.passes.qat import Qat
    from edgewright_converter.passes.quantize import Quantize
    from edgewright_converter.recipe import Recipe
    from edgewright_converter.targets import get_target

    recipe = Recipe("trained", (Qat(), Quantize(QAT[way]))) if way in QAT else Recipe.load(way.removesuffix(OLD))
    target = get_target("local-tflite" if way.endswith(OLD) else "local")
    request = Request(str(path), from_mapping(data), recipe, target, 1, {}, None, None, False, seed=0)
    steps = Steps(lambda step, share: None, tuple(p.use for p in recipe.model_passes))
    prepared = prepare(None, request, steps)
    flatbuffer = finish(prepared, request, steps).model
    return flatbuffer, run_graph(prepared.frozen, data["x_test"])


def run_graph(frozen: Any, x: Any) -> Any:
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef.FromString(frozen.graph)

    def serve(tensor: Any) -> Any:
        return tf.graph_util.import_graph_def(graph, {frozen.input_tensors[0]: tensor}, list(frozen.output_tensors))[0]

    call = tf.function(
        serve, autograph=False, input_signature=[tf.TensorSpec((1, *x.shape[1:]), frozen.inputs[0].dtype)]
    )
    return np.concatenate([call(tf.constant(row[None])).numpy() for row in x])


def run(flatbuffer: bytes, x: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return invoke(Interpreter(model_content=flatbuffer, num_threads=1), x)


def invoke(interpreter: Any, x: Any) -> Any:
    """What it answers to each sample, in float32; of a file with integers at its border, too."""
    interpreter.allocate_tensors()
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = entry["quantization"]
    if entry["dtype"] == np.int8:
        x = np.clip(np.round(x / scale) + zero, -128, 127)
    found = []
    for row in x:
        interpreter.set_tensor(entry["index"], row[None].astype(entry["dtype"]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(end["index"]))
    answers = np.concatenate(found)
    scale, zero = end["quantization"]
    return answers if end["dtype"] == np.float32 else ((answers.astype(np.float32) - zero) * scale)


def score(answers: Any, truth: Any) -> float:
    """Accuracy; of a language model (truth by token) the perplexity."""
    from edgewright_converter.passes.base import cross_entropy

    if truth.ndim == 1:
        return float((answers.argmax(-1) == truth).mean())
    return float(np.exp(cross_entropy(answers, truth)))


def old_score(path: Path, x: Any, truth: Any) -> float | None:
    """With tflite-runtime 2.14, in its own environment; None where that is missing or does not load the model."""
    if not TFLITE.is_file():
        return None
    samples, answers = path.with_suffix(".x.npy"), path.with_suffix(".y.npy")
    np.save(samples, x)
    code = (
        "import sys, numpy as np; from tflite_runtime.interpreter import Interpreter; from quantization import invoke;"
        "np.save(sys.argv[3], invoke(Interpreter(model_path=sys.argv[1], num_threads=1), np.load(sys.argv[2])))"
    )
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r});" + code
    command = [str(TFLITE), "-c", code, str(path), str(samples), str(answers)]
    done = subprocess.run(command, capture_output=True, check=False)
    return score(np.load(answers), truth) if done.returncode == 0 else None


def sqnr(signal: Any, found: Any) -> float:
    from edgewright_converter.fakequant.grids import sqnr_db

    return sqnr_db(signal, found)


def line(row: Row, base: Row) -> str:
    if row.score is None:
        return f"| {row.way} | {row.note} | | | | | | |"
    old = "does not load" if row.old_score is None else f"{row.old_score:.4f}"
    same, db = ("" if v is None else f"{v:{form}}" for v, form in ((row.same, ".4f"), (row.sqnr_db, ".1f")))
    bytes_, p50 = row.size_bytes / base.size_bytes, (row.p50_us or 0) / (base.p50_us or 1)
    return f"| {row.way} | {row.size_bytes:,} | {bytes_:.3f} | {p50:.2f} | {row.score:.4f} | {old} | {same} | {db} |"


def limits(row: Row, rows: dict[str, Row]) -> list[str]:
    """What does not hold, in words."""
    base = rows[BASE]
    if row.score is None or base.score is None:
        return [row.note or base.note] if row.way in OURS else []
    found = []
    if row.way in MOST_BYTES:
        points, times = MOST_LOST[row.way]
        if lost(row.model, row.score, base.score, points, times):
            found.append(f"score {row.score:.4f} after {base.score:.4f}")
        ratio, most = row.size_bytes / base.size_bytes, MOST_BYTES[row.way]["lstm" in row.model or "gru" in row.model]
        if ratio > most:
            found.append(f"bytes {ratio:.3f}, at most {most}")
    if row.way == "int8-qat" and row.same is not None and row.same < LEAST_SAME:
        found.append(f"same {row.same:.4f}, at least {LEAST_SAME}")
    if row.way == "int8-qat" and row.sqnr_db is not None and row.sqnr_db < LEAST_DB:
        found.append(f"{row.sqnr_db:.1f} dB, at least {LEAST_DB:.0f}")
    old = TFLITE.is_file() and row.way.endswith(OLD)
    if old and (row.old_score is None or lost(row.model, row.old_score, row.score, *MOST_LOST["int8-qat"])):
        found.append(f"scores {row.old_score} on tflite-runtime 2.14, {row.score:.4f} here")
    return found + slow(row, rows)


def lost(model: str, score: float, before: float, points: float, times: float) -> bool:
    return (score / before - times if "lm-" in model else before - score - points) > 1e-9


def slow(row: Row, rows: dict[str, Row]) -> list[str]:
    most = MOST_P50.get((row.model, row.way))
    base, dynamic = (rows[way].p50_us if way in rows else None for way in (BASE, "stock dynamic"))
    if most is None or not row.p50_us or not base:
        return []
    found = [f"p50 {row.p50_us / base:.2f}, at most {most}"] if row.p50_us > most * base else []
    if row.way == "int8-fast" and dynamic and row.p50_us > dynamic * 1.02:
        found.append(f"p50 {row.p50_us / dynamic:.2f} of stock dynamic's")
    return found


if __name__ == "__main__":
    sys.exit(main())
