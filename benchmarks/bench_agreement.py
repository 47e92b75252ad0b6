"""Does `edgewright_runtime bench` agree with the benchmark tool that ships with the engine?

    python benchmarks/bench_agreement.py [BUNDLE.ewb …]

Both run in processes of their own, taking turns, as many runs each. Compared are their medians, turn by turn; without
bundles, of five dense models whose batch is chosen so that they take from 0.05 to 20 ms here. Their ratio may differ
from 1 by 5 %. The tool calls the engine through Python that takes some microseconds itself: what it reports for a model
of next to no work beyond what edgewright does. The ratio without it stands beside. The tool rounds what it reports to
0.01 ms, a fifth of the fastest model: here it is run with a ``round`` that does not, and is otherwise as it ships. Exit
code 1 where they disagree.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
from unit.models import tiny_model, wide_model, write_bundle

from edgewright_runtime.bundle import Bundle
from edgewright_runtime.quantiles import percentile

LIMIT = 0.05
MODELS = ((16, 128, 0.06), (8, 256, 0.25), (8, 512, 1), (8, 1024, 5), (8, 1024, 20))  # layers, width, about how many ms
BATCH = 16  # to begin with
TOOL = (
    "from ai_edge_litert.tools import benchmark_litert_model as tool; "
    "tool.round = lambda value, digits: value; tool.main()"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each tool in each round")
    arguments = parser.parse_args()
    agree = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = write_bundle(folder / "empty.ewb", tiny_model(), [np.ones((1, 1, 4), np.float32)])
        own_ms = median(tool_ms(empty, 5000, folder) - ours_ms(empty, 5000) for _ in range(arguments.rounds))
        print(f"the tool's own part of each run: {own_ms * 1e3:.1f} µs\n")
        print(f"{'model':>16}{'edgewright ms':>15}{'litert tool ms':>16}{'ratio':>8}{'without its own part':>22}")
        for bundle in arguments.bundles or (taking(folder, *model) for model in MODELS):
            first_ms = ours_ms(bundle, 20)
            runs = max(20, min(5000, round(arguments.seconds * 1e3 / first_ms)))
            turns = [(ours_ms(bundle, runs), tool_ms(bundle, runs, folder)) for _ in range(arguments.rounds)]
            ours, theirs = (median(side) for side in zip(*turns, strict=True))
            ratio = median(one / other for one, other in turns)
            without = median(one / (other - own_ms) for one, other in turns)
            agree &= abs(ratio - 1) <= LIMIT
            print(f"{bundle.stem:>16}{ours:>15.4f}{theirs:>16.4f}{ratio:>8.3f}{without:>22.3f}", flush=True)
    print(f"within {LIMIT:.0%}: {'holds' if agree else 'DOES NOT HOLD'}")
    return 0 if agree else 1


def taking(folder: Path, layers: int, width: int, ms: float) -> Path:
    batch = BATCH
    for _ in range(3):  # time does not quite go with the batch
        batch = max(1, round(batch * ms / ours_ms(dense(folder, layers, width, batch), 50)))
    return dense(folder, layers, width, batch)


def dense(folder: Path, layers: int, width: int, batch: int) -> Path:
    samples = np.random.default_rng(0).normal(0, 1, (4, batch, width)).astype(np.float32)
    name = f"{layers}x{width}-of-{batch}"
    return write_bundle(folder / f"{name}.ewb", wide_model(layers, width, batch), [samples], name=name)


def ours_ms(bundle: Path, runs: int) -> float:
    command = [sys.executable, "-m", "edgewright_runtime", "bench", str(bundle), "--engine", "litert"]
    command += ["--min-runs", str(runs), "--min-seconds", "0"]
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    return percentile(json.loads(output)["results"][0]["latency_ns"], 50) / 1e6


def tool_ms(bundle: Path, runs: int, folder: Path) -> float:
    model, result = folder / "model.tflite", folder / "result.json"
    opened = Bundle.open(bundle)
    model.write_bytes(opened.read(opened.manifest.variant().path))
    command = [sys.executable, "-c", TOOL, f"--model={model}", f"--num_runs={runs}", "--num_threads=1"]
    command += [f"--warmup_runs={max(10, runs // 10)}", f"--result_json={result}"]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return float(json.loads(result.read_text())["latency"]["median_ms"])


if __name__ == "__main__":
    sys.exit(main())
