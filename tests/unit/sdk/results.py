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
    session: str = "one",
    device: str = "kitchen",
    during: list[dict[str, object]] | None = None,
    launches: int = 1,
    seed: int = 7,
) -> BenchResult:
    rng = np.random.default_rng(seed)
    latency = [int(value) for value in p50_us * 1e3 * rng.lognormal(0, 0.03, 999)]
    peak = None if peak_mb is None else int(peak_mb * 1e6)
    runs = [len(part) for part in np.array_split(latency, 4 * launches)]
    return BenchResult(
        session=session,
        device=device,
        bundle={
            "id": "5f" * 32,
            "name": name,
            "mode": mode,
            "layout": "cpu",
            "size_bytes": model_bytes + 9000,
            "model_bytes": model_bytes,
        },
        engine={"name": "litert", "version": "2.3.0", "threads": 1, "cpus": None},
        settings={"inputs": "golden", "single_stream": False},
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
            "during": [{"at_ns": 0, **STATE}] if during is None else during,
            "after": {**STATE, "throttled": throttled or []},
        },
        startup_ns={
            "interpreter": [30_000_000] * launches,
            "import": [90_000_000] * launches,
            "load": [3_000_000] * launches,
            "allocate": [400_000] * launches,
            "first_invoke": [900_000] * launches,
        },
        warmup_ns=[int(p50_us * 2e3)] * 20,
        latency_ns=latency,
        call_ns=[value + 4000 for value in latency],
        at_ns=[index * 1_000_000 for index in range(len(latency))],
        blocks=[
            {"launch": index // 4, "round": index % 4, "runs": count, "preempted": 0}
            for index, count in enumerate(runs)
        ],
        memory_bytes={
            "interpreter": 11_000_000,
            "imported": 30_000_000,
            "allocated": None if peak is None else peak - 6_000_000,
            "first_invoke": None if peak is None else peak,
            "last_invoke": None if peak is None else peak + 1_000_000,
            "peak": None if peak is None else peak + 1_000_000,
            "harness": 1_000_000,
        },
        pss_bytes={"allocated": 20_000_000, "first_invoke": 21_000_000, "last_invoke": None},
        score=None if accuracy is None else Score("accuracy", accuracy, 2221, 0.6),
        throughput=[],
        profile=None,
        energy=None,
        operators=[
            {"operator": "GATHER", "name": "embedding", "bytes": model_bytes // 2},
            {"operator": "FULLY_CONNECTED", "name": "dense", "bytes": model_bytes // 3},
        ],
        started_at="2026-11-22T01:00:00+00:00",
    )


def three_results() -> list[BenchResult]:
    return [
        bench_result(),
        bench_result("intents-dynamic-int8", "dynamic-int8", model_bytes=532_648, p50_us=70, peak_mb=47.5),
        bench_result("intents-int8", "int8", model_bytes=553_080, p50_us=288, accuracy=0.8726, peak_mb=48.1),
    ]
