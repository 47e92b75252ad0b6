"""The table of layers: bits, range, how far each is from the float model, which of them hurt most, and what to do."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..outcome import LayerOutcome
from .attach import Attached
from .grids import Array, sqnr_db
from .points import Point

WORST = 3


def table(attached: Attached, batch: Any) -> tuple[LayerOutcome, ...]:
    """One row for each layer that has a grid. batch: samples as the model takes them, which run once for each layer."""
    places = attached.places
    floats, rounded = _run(attached, batch, on=False), _run(attached, batch, on=True)
    kinds = {entry.name: entry.kind for entry in attached.named}
    rows = []
    for name in dict.fromkeys([*places.points, *(kernel.layer for kernel in places.kernels)]):
        kernels, points = places.kernels_of(name), [p for p in places.points.get(name, ()) if id(p) in floats.seen]
        if not kernels and not points:
            continue
        last = points[-1] if points else None
        with places.switched(True, only=name):
            alone = sqnr_db(floats.output, _output(attached.model, batch))
        rows.append(
            LayerOutcome(
                name=name,
                kind=kinds.get(name, "Input"),
                weight_bits=kernels[0].bits if kernels else None,
                activation_bits=(last.bits or None) if last else None,
                low=float(last.low.numpy()) if last and last.bits and last.table is None else None,
                high=float(last.high.numpy()) if last and last.bits and last.table is None else None,
                sqnr_db=_finite(_distance(floats.seen[id(last)], rounded.seen[id(last)])) if last else None,
                alone_db=_finite(alone),
            )
        )
    return tuple(rows)


def hints(attached: Attached, rows: Sequence[LayerOutcome], batch: Any, observer: str) -> tuple[str, ...]:
    """A sentence for each of the three layers whose rounding alone moves the model's output most."""
    places = attached.places
    with places.switched(False):
        floats = _output(attached.model, batch)
    sentences = []
    hurting = sorted((row for row in rows if row.alone_db is not None), key=lambda row: row.alone_db or 0.0)
    for row in hurting[:WORST]:
        found = {}
        for part in ("weights", "activations"):
            with places.switched(True, only=row.name, part=part):
                found[part] = sqnr_db(floats, _output(attached.model, batch))
        part = min(found, key=lambda key: found[key])
        sentences.append(
            f"{row.name} moves the output by {row.alone_db:.1f} dB, most by its {part}: {_remedy(row, part, observer)}"
        )
    return tuple(sentences)


def _remedy(row: LayerOutcome, part: str, observer: str) -> str:
    if (row.alone_db or 0.0) > 40:
        return "harmless."
    if part == "weights":
        wider = "give it 8 bits" if row.weight_bits == 4 else "train longer (epochs)"
        return f'{wider}, or leave it float (leave = ["{row.name}"]).'
    other = "mse" if observer != "mse" else "percentile"
    return f'try observer = "{other}" or mode = "int16x8", or leave it float (leave = ["{row.name}"]).'


class _Seen:
    def __init__(self) -> None:
        self.seen: dict[int, list[Array]] = {}
        self.output: Array = np.zeros(0)


def _run(attached: Attached, batch: Any, on: bool) -> _Seen:
    found = _Seen()

    def see(point: Point, _: Any, x: Any) -> None:
        found.seen.setdefault(id(point), []).append(np.asarray(x, np.float32))

    with attached.places.switched(on), attached.places.tapped(see):
        found.output = _output(attached.model, batch)
    return found


def _output(model: Any, batch: Any) -> Array:
    import keras

    flat = keras.tree.flatten(model(batch, training=False))
    return np.concatenate([np.asarray(x, np.float32).ravel() for x in flat])


def _distance(signal: list[Array], found: list[Array]) -> float:
    return sqnr_db(*(np.concatenate([part.ravel() for part in parts]) for parts in (signal, found)))


def _finite(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None
