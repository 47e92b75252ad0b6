"""The rules of tracing.py for recurrent layers: a unit goes with all of its gates."""

from collections.abc import Callable
from typing import Any

from .channels import Axis
from .tracing import Trace, Traced, check_activation, tiled, unknown


def _cell(trace: Trace, layer: Any, cell: Any, x: Traced) -> Axis:
    """The units of an LSTM, GRU or simple cell, each with all its gates."""
    units = trace.fresh(layer, "recurrent", cell.units)
    gates = cell.kernel.shape[1] // cell.units
    trace.weight(cell.kernel, x.axes[-1], tiled(units, gates))
    trace.weight(cell.recurrent_kernel, units, tiled(units, gates))
    if cell.bias is not None:
        trace.weight(cell.bias, *(None,) * (len(cell.bias.shape) - 1), tiled(units, gates))
    check_activation(trace, cell, units)
    return units


def _recurrent(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Any:
    cell = layer.cell
    if type(cell).__name__ not in ("LSTMCell", "GRUCell", "SimpleRNNCell") or not type(cell).__module__.startswith(
        "keras.src."
    ):
        return unknown(trace, layer, args, outputs)
    units = _cell(trace, layer, cell, args[0])
    for state in args[1:]:
        for part in state if isinstance(state, list | tuple) else [state]:
            if isinstance(part, Traced) and len(part.axes) == 2:
                trace.tie(units, part.axes[-1], layer.name)

    def edit(config: dict[str, Any], count: Any) -> dict[str, Any]:
        if "cell" not in config:
            return {**config, "units": count(units)}
        inner = config["cell"]
        return {**config, "cell": {**inner, "config": {**inner["config"], "units": count(units)}}}

    trace.edits[id(layer)] = edit
    return [(*(None,) * (len(tensor.shape) - 1), units) for tensor in outputs]


def _bidirectional(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Any:
    import numpy as np

    sides = (layer.forward_layer, layer.backward_layer)
    if any(getattr(side, "cell", None) is None or (len(args) > 1 and isinstance(args[1], list)) for side in sides):
        return unknown(trace, layer, args, outputs)
    ahead, back = (_recurrent(trace, side, args[:1], outputs[:1])[0][-1] for side in sides)
    if ahead is None or back is None:
        return [(None,) * len(tensor.shape) for tensor in outputs]

    def edit(config: dict[str, Any], count: Any) -> dict[str, Any]:
        own = trace.edits[id(sides[0])](sides[0].get_config(), count)
        other = trace.edits[id(sides[1])](sides[1].get_config(), count)
        changed = {**config, "layer": {**config["layer"], "config": own}}
        # A backward layer of its own is written out where it has another number of units.
        if "backward_layer" in config or count(ahead) != count(back):
            changed["backward_layer"] = {**config["layer"], "config": other}
        return changed

    trace.edits[id(layer)] = edit
    if layer.merge_mode is None:
        lasts = [ahead, back]
    elif layer.merge_mode == "concat":
        lasts = [np.concatenate([ahead, back])]
    else:
        lasts = [trace.tie(ahead, back, layer.name)]
    states = len(outputs) - len(lasts)
    lasts += [ahead] * (states // 2) + [back] * (states // 2)
    return [(*(None,) * (len(t.shape) - 1), last) for t, last in zip(outputs, lasts, strict=True)]


RULES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(["LSTM", "GRU", "SimpleRNN", "RNN"], _recurrent),
    "Bidirectional": _bidirectional,
}
