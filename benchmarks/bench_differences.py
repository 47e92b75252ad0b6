"""Does `edgewright bench A B` claim differences that are none, and does it see one of 5 %?

    python benchmarks/bench_differences.py [--comparisons 20] [--length 120]

Compared are a model and itself, and the model on a sequence and on one that is 5 % longer: position-wise dense layers,
whose time grows with the sequence. What the longer one really takes is told by all comparisons together. Required:
among 20 comparisons of a model with itself at most one claims a difference; 9 of 10 see the 5 %. Exit code 1 where
not. Beside it stands what the usual comparison of two medians would have said: two runs, one after the other,
"different" where they differ by more than 3 %.
"""

import argparse
import sys
import tempfile
from math import exp, log
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
from unit.models import wide_model, write_bundle

from edgewright.comparison import compare
from edgewright_runtime.bench import bench
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.plan import Plan
from edgewright_runtime.quantiles import percentile

USUAL = 0.03


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=20, help="of each kind")
    parser.add_argument("--length", type=int, default=160, help="of the shorter sequence")
    parser.add_argument("--min-seconds", type=float, default=1.0, help="as of `edgewright bench`")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        short = sequence_model(Path(folder) / "short.ewb", arguments.length)
        longer = sequence_model(Path(folder) / "longer.ewb", round(arguments.length * 1.05))
        same = [turns(short, short, seed, arguments.min_seconds) for seed in range(arguments.comparisons)]
        slower = [turns(short, longer, seed, arguments.min_seconds) for seed in range(arguments.comparisons)]
        usual_same = sum(one_after_the_other(short, short) for _ in range(arguments.comparisons))
        usual_slower = sum(one_after_the_other(short, longer) for _ in range(arguments.comparisons))
    count = arguments.comparisons
    claimed = sum(differs for _, differs in same)
    seen = sum(differs and ratio > 1 for ratio, differs in slower)
    true = exp(median(log(ratio) for ratio, _ in slower))
    holds = claimed <= count / 20, seen >= 0.9 * count
    print(f"\nthe same model:      difference claimed {claimed} of {count} times   {verdict(holds[0])}")
    print(f"                     by two medians, 3 %: {usual_same} of {count}")
    print(f"{true - 1:+.1%} in truth:      seen {seen} of {count} times                 {verdict(holds[1])}")
    print(f"                     by two medians, 3 %: {usual_slower} of {count}")
    return 0 if all(holds) else 1


def sequence_model(path: Path, length: int) -> Bundle:
    samples = np.random.default_rng(0).normal(0, 1, (4, length, 64)).astype(np.float32)
    return Bundle.open(write_bundle(path, wide_model(layers=4, width=64, batch=length), [samples], name=path.stem))


def turns(first: Bundle, second: Bundle, seed: int, min_seconds: float) -> tuple[float, bool]:
    """(ratio, whether a difference is claimed)."""
    a, b = bench([first, second], Plan(seed=seed, min_seconds=min_seconds))
    found = compare(a, b)
    assert found.interval is not None
    print(
        f"{first.path.stem:>7} {second.path.stem:>7}  {found.ratio:.3f} "
        f"({found.interval.low:.3f} to {found.interval.high:.3f})  {found.verdict}",
        flush=True,
    )
    return found.ratio, found.differs


def one_after_the_other(first: Bundle, second: Bundle) -> bool:
    """Whether two single benches in a row would make one believe that the second is another."""
    a, b = (percentile(bench([bundle], Plan())[0].latency_ns, 50) for bundle in (first, second))
    return abs(log(b / a)) > log(1 + USUAL)


def verdict(holds: bool) -> str:
    return "holds" if holds else "DOES NOT HOLD"


if __name__ == "__main__":
    sys.exit(main())
