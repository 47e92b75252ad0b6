"""What a bench is asked to do."""

from dataclasses import dataclass
from typing import Optional

from .errors import InputError
from .limits import INPUTS, MAX_RUNS
from .quantiles import SINGLE_STREAM_SAMPLES

# At least so many in each process. Where models take turns they are many and short: a machine that is fast in one
# moment and slow in another, or on one of its cores, is then the same for both models of most turns.
BLOCKS, BLOCKS_IN_TURNS = 4, 12
BLOCK_NS = 250_000_000  # at most, unless a single run takes longer
LAUNCHES = 16  # of each model, where several are compared: the interval bears one that was disturbed


@dataclass(frozen=True)
class Plan:
    """engine, threads: as ``open_engine``; cpus: to bind the process to, or None.

    min_runs, min_seconds: of each model, over all its processes. launches: how many processes each model gets, None for
    1, or 16 where several models are compared. inputs: one of INPUTS; seed: of the order and of random inputs.
    single_stream: time as many runs as MLPerf's estimate takes. throughput: with up to so many callers, and so many
    threads. profile, energy: whether to look for where time and energy go.
    Raises InputError.
    """

    engine: str = "auto"
    threads: int = 1
    cpus: Optional[tuple[int, ...]] = None
    min_runs: int = 50
    min_seconds: float = 1.0
    launches: Optional[int] = None
    inputs: str = "golden"
    seed: int = 0
    single_stream: bool = False
    throughput: int = 0
    profile: bool = False
    energy: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.min_runs <= MAX_RUNS or not 0 <= self.min_seconds <= 3600:
            raise InputError(f"A bench takes 1 to {MAX_RUNS} runs and 0 to 3600 seconds: choose within these.")
        if self.launches is not None and not 1 <= self.launches <= 1000:
            raise InputError(f"A bench starts each model 1 to 1000 times, not {self.launches}.")
        if self.inputs not in INPUTS:
            raise InputError(f"A bench has the inputs {', '.join(INPUTS)}, not {self.inputs}.")
        if not 0 <= self.throughput <= 256:
            raise InputError(f"Throughput is measured with up to 256 callers, not {self.throughput}.")

    def launched(self, models: int) -> int:
        """How many processes each of so many models gets."""
        if self.launches is not None:
            return self.launches
        return 1 if models == 1 else LAUNCHES

    def blocks(self, models: int) -> tuple[int, int, int]:
        """(blocks in each process, runs in each block at least, nanoseconds at least): together they are what is asked
        for."""
        launches = self.launched(models)
        each_ns = round(self.min_seconds * 1e9) // launches
        count = max(BLOCKS if models == 1 else BLOCKS_IN_TURNS, -(-each_ns // BLOCK_NS))
        min_runs = max(self.min_runs, SINGLE_STREAM_SAMPLES) if self.single_stream else self.min_runs
        return count, -(-min_runs // (launches * count)), each_ns // count
