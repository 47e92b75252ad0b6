"""Does `edgewright_runtime bench` agree with the benchmark tool that ships with the engine?

    python benchmarks/bench_agreement.py [BUNDLE.ewb]

Both run in processes of their own, taking turns; compared is the median of their medians, which may differ by 10 % on a
model of at least 0.2 ms. Without a bundle: a dense model of 0.5 million weights and a batch of 32. Exit code 1 where
they disagree.
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
from unit.models import wide_model, write_bundle

from edgewright_runtime.bundle import Bundle
from edgewright_runtime.quantiles import percentile


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runs", type=int, default=500, help="of the model in each round")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = arguments.bundle or default_bundle(Path(folder))
        ours, peers = [], []
        for _ in range(arguments.rounds):
            ours.append(our_median_ms(bundle, arguments.runs))
            peers.append(peer_median_ms(bundle, arguments.runs, Path(folder)))
            print(f"edgewright {ours[-1]:.3f} ms   benchmark_litert_model {peers[-1]:.3f} ms", flush=True)
    ratio = median(ours) / median(peers)
    print(f"medians {median(ours):.3f} and {median(peers):.3f} ms, ratio {ratio:.3f}")
    if median(peers) < 0.2:
        print("The model takes less than 0.2 ms: too little for a comparison to mean much.")
    return 0 if 0.9 <= ratio <= 1.1 else 1


def default_bundle(folder: Path) -> Path:
    samples = np.random.default_rng(0).normal(0, 1, (4, 32, 256)).astype(np.float32)
    return write_bundle(folder / "wide.ewb", wide_model(layers=8, width=256, batch=32), [samples])


def our_median_ms(bundle: Path, runs: int) -> float:
    command = [sys.executable, "-m", "edgewright_runtime", "bench", str(bundle), "--engine", "litert"]
    command += ["--min-runs", str(runs), "--min-seconds", "0"]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return percentile(json.loads(output)["results"][0]["latency_ns"], 50) / 1e6


def peer_median_ms(bundle: Path, runs: int, folder: Path) -> float:
    model, result = folder / "model.tflite", folder / "result.json"
    opened = Bundle.open(bundle)
    model.write_bytes(opened.read(opened.manifest.variant().path))
    command = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model", f"--model={model}"]
    command += [f"--num_runs={runs}", "--num_threads=1", "--warmup_runs=50", f"--result_json={result}"]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return float(json.loads(result.read_text())["latency"]["median_ms"])


if __name__ == "__main__":
    sys.exit(main())
