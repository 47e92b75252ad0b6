"""What edgewright_runtime costs above a bare interpreter script: same engine, same model, interleaved in one run.

    python benchmarks/runtime_overhead.py [BUNDLE.ewb]

Without a bundle it measures a dense model of 0.5 million weights (2 MB). Limits: invocation within 5 µs, start to first
answer within 1.15×, peak memory within 3 MB; exit code 1 where one does not hold. All figures are medians; the ratio is
that of each pair of neighbours in time, for other work on the machine to weigh on both. Start and memory are of whole
processes: from their start to their end, and the peak that the kernel reports.
"""

import argparse
import compileall
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

BARE = Path(__file__).with_name("bare_interpreter.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="")
    parser.add_argument("--processes", type=int, default=31, help="of each kind")
    parser.add_argument("--calls", type=int, default=5000, help="of each kind")
    parser.add_argument("--prepare", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.prepare:
        prepare(Path(arguments.prepare), arguments.bundle)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        # numpy stays out of this process for now: a child's peak memory counts from what its parent had.
        subprocess.run([sys.executable, __file__, "--prepare", folder, arguments.bundle], check=True)
        home = Path(folder)
        name, *inputs = (home / "names").read_text().split("\n")
        release, samples = home / "models" / name / "current", str(home / "inputs.npz")
        model = str(next(release.glob("*.tflite")))
        commands = {
            "bare": [sys.executable, str(BARE), model, samples, *inputs],
            "edgewright": [sys.executable, folder + "/runtime", "run", name, "--home", folder, "--inputs", samples],
        }
        runs: dict[str, list[tuple[float, float]]] = {kind: [] for kind in commands}
        for turn in range(arguments.processes):
            for kind in sorted(commands, reverse=bool(turn % 2)):
                runs[kind].append(whole_process(commands[kind]))
        bare_ms, ours_ms = (median(run[0] for run in runs[kind]) for kind in commands)
        ratio = median(ours[0] / bare[0] for bare, ours in zip(*runs.values(), strict=True))
        bare_mb, ours_mb = (median(run[1] for run in runs[kind]) for kind in commands)
        bare_us, ours_us = invocation(model, samples, inputs, arguments.calls)
    added_us, added_mb = ours_us - bare_us, ours_mb - bare_mb
    rows = [
        ("invocation, µs", bare_us, ours_us, f"{added_us:+.2f}", "+5", added_us <= 5),
        ("start to first answer, ms", bare_ms, ours_ms, f"{ratio:.3f}×", "1.15×", ratio <= 1.15),
        ("peak memory, MB", bare_mb, ours_mb, f"{added_mb:+.2f}", "+3", added_mb <= 3),
    ]
    print(f"{'':26}{'bare':>10}{'edgewright':>12}{'cost':>10}{'limit':>8}")
    for what, bare, ours, cost, limit, holds in rows:
        print(f"{what:26}{bare:10.2f}{ours:12.2f}{cost:>10}{limit:>8}  {'holds' if holds else 'EXCEEDED'}")
    return 0 if all(holds for *_, holds in rows) else 1


def prepare(home: Path, bundle_path: str) -> None:
    """Lay out what both sides read: a device's home with runtime and model, and the inputs of a golden sample."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import numpy as np
    from unit.models import wide_model, write_bundle

    import edgewright_runtime
    from edgewright_runtime.bundle import Bundle
    from edgewright_runtime.store import Store

    shutil.copytree(Path(edgewright_runtime.__file__).parent, home / "runtime" / "edgewright_runtime")
    (home / "runtime" / "__main__.py").write_text(
        'from runpy import run_module\n\nrun_module("edgewright_runtime", run_name="__main__", alter_sys=True)\n'
    )
    compileall.compile_dir(home / "runtime", quiet=2)
    if not bundle_path:
        samples = np.random.default_rng(0).normal(0, 1, (4, 1, 256)).astype(np.float32)
        bundle_path = str(write_bundle(home / "wide.ewb", wide_model(layers=8, width=256), [samples], name="wide"))
    bundle = Bundle.open(bundle_path)
    bundle.extract(home / "incoming")
    store = Store(home)
    store.accept(bundle.manifest.files)
    store.assemble(bundle.manifest_bytes)
    store.activate(bundle.manifest.name, bundle.id)
    names = [tensor.name for tensor in bundle.manifest.variant().inputs]
    np.savez(home / "inputs.npz", **{name: array[0] for name, array in zip(names, bundle.golden()[0], strict=True)})
    (home / "names").write_text("\n".join([bundle.manifest.name, *names]))


def whole_process(command: Sequence[str]) -> tuple[float, float]:
    """(milliseconds from start to end, peak memory in MB)."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed_ms = (time.perf_counter() - started) * 1e3
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    return elapsed_ms, usage.ru_maxrss * 1024 / 1e6


def invocation(model: str, samples: str, names: Sequence[str], calls: int) -> tuple[float, float]:
    """Microseconds of one call, bare and with the engine of edgewright_runtime, alternating."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    from edgewright_runtime.engines import open_engine

    with np.load(samples) as archive:
        arrays = [archive[name] for name in names]
    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    inputs = [tensor["index"] for tensor in interpreter.get_input_details()]
    outputs = [tensor["index"] for tensor in interpreter.get_output_details()]
    engine = open_engine(model, "litert")
    bare_ns, ours_ns = [], []
    for _ in range(calls):
        started = time.perf_counter_ns()
        for index, array in zip(inputs, arrays, strict=True):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        _ = [interpreter.get_tensor(index) for index in outputs]
        bare_ns.append(time.perf_counter_ns() - started)
        started = time.perf_counter_ns()
        engine.invoke(arrays)
        ours_ns.append(time.perf_counter_ns() - started)
    return median(bare_ns) / 1e3, median(ours_ns) / 1e3


if __name__ == "__main__":
    sys.exit(main())
