"""What zeros and shared values are worth: bytes as stored and compressed, latency; plainly where that is nothing."""

from dataclasses import replace

from ..outcome import Outcome

COUNTED = ("prune", "cluster")  # the passes whose gain is in the values, not in the number of parameters
_NOTICED = 0.99  # of the bytes before


def with_gains(outcome: Outcome) -> Outcome:
    """Add sentences to a pass that changes single weights, once it is measured; others stay as they are."""
    stored = _sentence("Bytes as stored", outcome.float_bytes_before, outcome.float_bytes_after)
    packed = _sentence("Bytes compressed", outcome.compressed_bytes_before, outcome.compressed_bytes_after)
    if outcome.use not in COUNTED or outcome.rolled_back or not stored or not packed:
        return outcome
    # Measured times are no part of a bundle, whose bytes repeat; that no kernel looks for zeros or values always holds.
    same = "No kernel skips single zeros or looks up shared values: no gain in latency."
    sparse = outcome.options.get("sparse") and outcome.float_bytes_after != outcome.float_bytes_before
    return replace(outcome, hints=(*outcome.hints, stored, packed, *(() if sparse else (same,))))


def _sentence(what: str, before: int | None, after: int | None) -> str:
    if before is None or after is None:
        return ""
    ratio = after / before
    return f"{what} (float32): {before:,} → {after:,}, {ratio:.2f}×" + ("." if ratio < _NOTICED else ": no gain.")
