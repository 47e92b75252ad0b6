"""What each pass that makes a model smaller is worth on the demo's intent Transformer, all in one run.

    python benchmarks/shrink_structure.py [--teacher FOLDER] [--only NAME …]

The teacher is trained as the demo does it (or taken from a folder that `edgewright demo` has left); every row is one
`convert` of it to a float32 flatbuffer with one pass, scored on all test sentences in ai-edge-litert. Latencies are
medians of one run, one thread, measured by turns at the end, the best of several rounds; ratios are to the teacher in
float32. compressed: the flatbuffer through DEFLATE. Exit code 1 where a limit does not hold.
"""

import argparse
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, perf_counter_ns

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edgewright_converter.language.train import train_in_child
from edgewright_converter.passes import Cluster, Factorize, Pass, Prune, PruneStructured, Quantize
from edgewright_converter.pipeline import convert
from edgewright_converter.recipe import Recipe
from edgewright_runtime.bundle import Bundle

ROUNDS, ROUND_NS = 20, 30_000_000
RATE = 1e-3  # the teacher's own
ROWS: dict[str, tuple[Pass, ...]] = {
    "teacher": (),
    "prune-structured": (PruneStructured(amount=0.5, epochs=3, learning_rate=RATE),),
    "factorize": (Factorize(size=0.5, epochs=2, learning_rate=RATE / 2),),
    "prune-80": (Prune(sparsity=0.8, epochs=2, learning_rate=RATE / 2),),
    "prune-80-1x4-sparse": (Prune(sparsity=0.8, pattern="1x4", sparse=True, epochs=2, learning_rate=RATE / 2),),
    "prune-2-4": (Prune(sparsity=0.5, pattern="2:4", epochs=1, learning_rate=RATE / 2),),
    "cluster-16": (Cluster(clusters=16, epochs=1, learning_rate=RATE / 4),),
}
# The most of the teacher's parameters, bytes and latency, and the most that its accuracy may fall.
LIMITS = {"prune-structured": (0.6, 1.0, 0.6, 0.01), "factorize": (1.0, 0.6, 0.75, 0.01)}


@dataclass(frozen=True)
class Row:
    parameters: int
    model: bytes
    accuracy: float
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, help="a folder with intents.keras and intents.data.npz")
    parser.add_argument("--only", nargs="*", choices=list(ROWS), help="these rows, and the teacher")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.teacher or Path(name)
        if arguments.teacher is None:
            train_in_child("en", folder)
        wanted = [row for row in ROWS if not arguments.only or row in arguments.only or row == "teacher"]
        rows = {row: made(row, folder, Path(name)) for row in wanted}
        sample = np.load(folder / "intents.data.npz")["x_test"][:1]
    times = dict(zip(rows, latencies([row.model for row in rows.values()], sample), strict=True))
    teacher = rows["teacher"]
    kept = True
    print(f"{'pass':<20} {'parameters':>17} {'bytes':>17} {'compressed':>17} {'p50 µs':>15} {'accuracy':>8}  seconds")
    for name, row in rows.items():
        share = (
            row.parameters / teacher.parameters,
            len(row.model) / len(teacher.model),
            times[name] / times["teacher"],
            teacher.accuracy - row.accuracy,
        )
        good = all(found <= most for found, most in zip(share, LIMITS.get(name, (9, 9, 9, 9)), strict=True))
        kept = kept and good
        packed, whole = (len(zlib.compress(model, 9)) for model in (row.model, teacher.model))
        print(
            f"{name:<20} {row.parameters:>9,} ({share[0]:.2f}×) {len(row.model):>9,} ({share[1]:.2f}×) "
            f"{packed:>9,} ({packed / whole:.2f}×) {times[name]:>7.1f} ({share[2]:.2f}×) {row.accuracy:>8.4f} "
            f"{row.seconds:>8.0f}" + ("" if good else f"  over its limits {LIMITS[name]}"),
            flush=True,
        )
    return 0 if kept else 1


def made(name: str, folder: Path, out: Path) -> Row:
    """One conversion."""
    began = perf_counter()
    recipe = Recipe(name, (*ROWS[name], Quantize("float32")))
    done = convert(
        folder / "intents.keras",
        data=folder / "intents.data.npz",
        recipe=recipe,
        output=out / f"{name}.ewb",
        timeout_s=7200,
    )
    first, last = done.outcomes[0], done.outcomes[-1]
    assert last.accuracy_after is not None
    parameters = first.parameters_after or first.weight_bytes_before // 4
    model = Bundle.open(done.path).read("model.tflite")
    print(f"{name}: accuracy {last.accuracy_after:.4f}", file=sys.stderr, flush=True)
    return Row(parameters, model, last.accuracy_after, perf_counter() - began)


def latencies(models: list[bytes], sample: np.ndarray) -> list[float]:
    """µs of one run of each, by turns."""
    engines = []
    for model in models:
        engine = Interpreter(model_content=model, num_threads=1)
        engine.allocate_tensors()
        engine.set_tensor(engine.get_input_details()[0]["index"], sample.astype(np.int32))
        engines.append(engine)
    found: list[list[float]] = [[] for _ in models]
    for _ in range(ROUNDS):
        for engine, times in zip(engines, found, strict=True):
            taken: list[int] = []
            until = perf_counter_ns() + ROUND_NS
            while not taken or perf_counter_ns() < until:  # a busy machine may be away for longer than a round
                began = perf_counter_ns()
                engine.invoke()
                taken.append(perf_counter_ns() - began)
            times.append(median(taken) / 1000)
    return [min(times) for times in found]


if __name__ == "__main__":
    sys.exit(main())
