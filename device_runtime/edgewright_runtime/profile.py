"""Where a model's time goes, estimated by cutting its graph: see ``cut``.

An estimate, for two reasons. A cut keeps the engine from fusing across it (XNNPACK joins an activation with the
operator before it, and hands nothing back between its operators), so a part may take longer alone than within the
whole. And small differences between large times are noisy: they are taken from medians over rounds in random order,
and made to grow along the graph by pooling neighbours that do not.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

from .bundle import Bundle
from .cut import cut, read_graph
from .engines import Array, open_engine
from .quantiles import percentile
from .timing import Timing

METHOD = "cut graph"
MAX_CUTS = 48  # of a longer graph, neighbours share a part
ROUNDS = 5
WARM_RUNS, BLOCK_RUNS, BLOCK_NS, BLOCK_MAX_RUNS = 3, 5, 8_000_000, 500


def profile(bundle: Bundle, engine: str, threads: int, samples: list[list[Array]], seed: int) -> dict[str, Any]:
    """method: how it was found; whole_ns: the median time of the whole model, measured among the parts; parts: first
    and last operator by their index in the graph, and ns, which add up to the time of the last cut.

    Raises EngineError, InputError.
    """
    model = bundle.read(bundle.manifest.variant().path)
    count = len(read_graph(model).operators)
    ends = _ends(count)
    random = Random(seed)
    times: dict[int, list[int]] = {end: [] for end in ends}
    for _ in range(ROUNDS):
        for end in random.sample(ends, len(ends)):
            # One at a time: as many copies of a large model would fill a small board.
            with open_engine(cut(model, end), engine, threads) as loaded:
                timing = Timing(loaded, samples)
                timing.discard(WARM_RUNS, 0)
                timing.block(BLOCK_RUNS, BLOCK_NS, BLOCK_MAX_RUNS)
                times[end].append(percentile(timing.latency_ns, 50))
    reached = growing([float(percentile(times[end], 50)) for end in ends])
    starts, before = [0, *ends[:-1]], [0.0, *reached[:-1]]
    return {
        "method": METHOD,
        "whole_ns": percentile(times[count], 50),
        "parts": [
            {"first": start, "last": end - 1, "ns": round(now - then)}
            for start, end, then, now in zip(starts, ends, before, reached)
        ],
    }


def _ends(count: int) -> list[int]:
    """After how many operators to cut: after each, or evenly spread where there are too many. The last is the whole."""
    parts = min(count, MAX_CUTS)
    return [count * (part + 1) // parts for part in range(parts)]


def growing(values: Sequence[float]) -> list[float]:
    """The closest sequence, by least squares, that never falls (isotonic regression by pooling adjacent violators)."""
    pools: list[tuple[float, int]] = []  # mean, how many
    for value in values:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (left, many), (right, few) = pools[-2:]
            pools[-2:] = [((left * many + right * few) / (many + few), many + few)]
    return [mean for mean, many in pools for _ in range(many)]
