"""Was the board steady while it was measured? What it told before, between the blocks and after, judged."""

from collections.abc import Sequence

from edgewright_runtime.result import BenchResult

from .errors import CheckError

CLOCK_TOLERANCE = 0.05  # of the highest frequency seen between the blocks


def marks(result: BenchResult) -> list[str]:
    """Why this result is not to be trusted: the clock moved, or the board throttled. Empty where all was well, and
    where the board does not tell."""
    environment = result.environment
    states = [environment["before"], *environment["during"], environment["after"]]
    found = []
    # Bits that say "has occurred" stay until the board restarts: they count where they are new.
    past = set(environment["before"].get("throttled") or ())
    told = {word for state in states for word in state.get("throttled") or ()}
    bad = sorted(word for word in told if not (word.endswith("has occurred") and word in past))
    if bad:
        found.append(f"the board reported {', '.join(bad)}")
    counts = [state["throttle_count"] for state in states if state.get("throttle_count") is not None]
    if counts and counts[-1] > counts[0]:
        found.append(f"the processor throttled {counts[-1] - counts[0]} times")
    # Not those before and after, when the processor may rest.
    clock = [state["freq_hz"] for state in environment["during"] if state.get("freq_hz")]
    if clock and max(clock) - min(clock) > CLOCK_TOLERANCE * max(clock):
        found.append(f"the clock moved between {min(clock) / 1e9:.2f} and {max(clock) / 1e9:.2f} GHz")
    return found


def silent(result: BenchResult) -> bool:
    """Whether the board told nothing that a mark could come from."""
    states = [*result.environment["during"], result.environment["after"]]
    return not any(
        state.get(fact) is not None for state in states for fact in ("freq_hz", "throttled", "throttle_count")
    )


def require_steady(results: Sequence[BenchResult]) -> None:
    """Raises CheckError where one of them is marked."""
    found = {f"{_on(result)}{mark}" for result in results for mark in marks(result)}
    if found:
        raise CheckError(
            f"The measurement is not steady ({'; '.join(sorted(found))}): cool and power the board well, set its "
            "governor to performance, and bench again, or leave out --strict."
        )


def warnings(results: Sequence[BenchResult]) -> list[str]:
    """All that makes these results doubtful, each said once."""
    found = []
    for result in results:
        board, before = result.environment["board"], result.environment["before"]
        if board.get("emulated"):
            found.append(f"The board is emulated ({board['emulated']}).")
        found += [f"{_on(result)}{mark}: these times are not steady." for mark in marks(result)]
        load, cores = before.get("load_1min"), board.get("cores") or 1
        if load is not None and load > cores:
            found.append(f"{_on(result)}the device was busy with other work (load {load:g} on {cores} cores).")
    return [warning[:1].upper() + warning[1:] for warning in dict.fromkeys(found)]


def _on(result: BenchResult) -> str:
    return f"On {result.device}, " if result.device else ""
