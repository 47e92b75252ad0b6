"""Bench results as a device would send them, with made-up but plausible samples."""

import numpy as np

from edgewright_runtime.result import BenchResult, Score

STATE = {"governor": "ondemand", "freq_hz": 1_500_000_000, "temperature_c": 48.2, "throttled": [], "load_1min": 0.3}


def bench_result(
    name: str = "intents-float32",
    mode: str = "float32",
    *,
    model_bytes: int = 1_869_440,
    p50_us: float = 182.0,
    accuracy: float | None = 0.8753,
    peak_mb: float | None = 52.0,
    throttled: list[str] | None = None,
    load: float = 0.3,
) -> BenchResult:
    rng = np.random.default_rng(7)
    latency = [int(value) for value in p50_us * 1e3 * rng.lognormal(0, 0.03, 999)]
    peak = None if peak_mb is None else int(peak_mb * 1e6)
    return BenchResult(
        bundle={
            "id": "5f" * 32,
            "name": name,
            "mode": mode,
            "layout": "cpu",
            "size_bytes": model_bytes + 9000,
            "model_bytes": model_bytes,
        },
        engine={"name": "litert", "version": "2.3.0", "threads": 1},
        environment={
            "board": {
                "model": "Raspberry Pi 4 Model B Rev 1.4",
                "machine": "aarch64",
                "cpu": "implementer 0x41 part 0xd08",
                "cores": 4,
                "memory_bytes": 3_978_000_000,
                "kernel": "6.6.51",
                "libc": "glibc 2.36",
                "python": "3.11.2",
            },
            "before": {**STATE, "load_1min": load},
            "after": {**STATE, "throttled": throttled or []},
        },
        startup_ns={"import": 90_000_000, "load": 3_000_000, "first_invoke": 900_000},
        warmup_ns=[int(p50_us * 2e3)] * 20,
        latency_ns=latency,
        call_ns=[value + 4000 for value in latency],
        memory_bytes={
            "before": 11_000_000,
            "loaded": None if peak is None else peak - 6_000_000,
            "first_invoke": None if peak is None else peak - 1_000_000,
            "peak": peak,
        },
        score=None if accuracy is None else Score("accuracy", accuracy, 2221, 0.6),
        started_at="2026-11-22T01:00:00+00:00",
    )


def three_results() -> list[BenchResult]:
    return [
        bench_result(),
        bench_result("intents-dynamic-int8", "dynamic-int8", model_bytes=532_648, p50_us=70, peak_mb=47.5),
        bench_result("intents-int8", "int8", model_bytes=553_080, p50_us=288, accuracy=0.8726, peak_mb=48.1),
    ]
