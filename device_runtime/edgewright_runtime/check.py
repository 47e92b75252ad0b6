"""Is this model right, and fast and small enough, on this very device?"""

from typing import Any

import numpy as np

from .border import from_border
from .bundle import Bundle
from .engines import Array, Engine
from .errors import CheckError
from .facts import process_memory_bytes
from .manifest import TensorSpec
from .quantiles import percentile
from .timing import Timing

BUDGET_MIN_RUNS, BUDGET_MIN_NS, BUDGET_MAX_RUNS = 20, 300_000_000, 1000


def check_golden(engine: Engine, bundle: Bundle, encoder: bool = False) -> list[dict[str, Any]]:
    """Run the golden samples. For each output: its name, the samples, max_difference and atol, both in real units.

    encoder: those of the graph that reads a translation's source, which engine then holds. Raises CheckError where a
    difference exceeds the atol.
    """
    inputs, expected = bundle.golden(encoder)
    described = bundle.manifest.encoder
    golden = described.golden if encoder and described is not None else bundle.manifest.golden
    answers = [engine.invoke([array[sample] for array in inputs]) for sample in range(len(inputs[0]))]
    outcomes = []
    for index, (spec, atol) in enumerate(zip(engine.outputs, golden.atol)):
        found = max(_difference(answer[index], want, spec) for answer, want in zip(answers, expected[index]))
        if not found <= atol:
            raise CheckError(
                f"On this device {engine.name} answers otherwise than the converter: output {spec.name} differs by "
                f"{found:.3g}, {atol:.3g} is allowed. Convert the model for this device, or use another engine."
            )
        outcomes.append({"output": spec.name, "samples": len(answers), "max_difference": found, "atol": atol})
    return outcomes


def _difference(answer: Array, expected: Array, spec: TensorSpec) -> float:
    """The largest absolute difference in real units; NaN and infinity agree with their like only."""
    real, wanted = (from_border(array, spec).astype(np.float64) for array in (answer, expected))
    same = (real == wanted) | (np.isnan(real) & np.isnan(wanted))
    with np.errstate(invalid="ignore"):
        differences = np.where(same, 0.0, np.abs(real - wanted))
    return float(np.nan_to_num(differences, nan=np.inf, posinf=np.inf).max(initial=0.0))


def check_budget(engine: Engine, bundle: Bundle) -> dict[str, Any]:
    """Measure the median latency, and the peak memory of this process, against the bundle's limits.

    Returns latency_ms, memory_mb and the limits. Raises CheckError where one is exceeded.
    """
    budget, inputs = bundle.manifest.budget, bundle.golden()[0]
    timing = Timing(engine, [[array[sample] for array in inputs] for sample in range(len(inputs[0]))])
    timing.warm_up()
    timing.block(BUDGET_MIN_RUNS, BUDGET_MIN_NS, BUDGET_MAX_RUNS)
    latency_ms = percentile(timing.latency_ns, 50) / 1e6
    peak_bytes = process_memory_bytes()[1]
    memory_mb = peak_bytes / 1e6 if peak_bytes is not None else None
    for what, found, limit, unit in (
        ("median latency", latency_ms, budget.latency_ms, "ms"),
        ("peak memory", memory_mb, budget.memory_mb, "MB"),
    ):
        if found is not None and limit is not None and found > limit:
            raise CheckError(
                f"The {what} on this device is {found:.3g} {unit}, the budget is {limit:.3g} {unit}: "
                "convert a smaller model, or raise the budget in the recipe."
            )
    return {
        "latency_ms": latency_ms,
        "latency_limit_ms": budget.latency_ms,
        "memory_mb": memory_mb,
        "memory_limit_mb": budget.memory_mb,
    }
