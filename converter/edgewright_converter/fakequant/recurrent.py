"""LSTM, GRU and SimpleRNN with grids inside of a step.

All steps share the grids, so that the state keeps its scale on its way round, whether the steps run in a loop (as in
training) or are written out (as on the device). The input's and the state's product each have a grid, and the bias goes
with the input's, where an integer kernel adds it at no cost. In a first step that is written out nothing is added to a
state of zeros, so what would be the sum's grid is not there: a number is rounded once.
"""

from collections.abc import Callable
from typing import Any

from ..plain import slices
from .activation import after_rounding
from .layers import Call, rounded_weights
from .points import Places


def recurrent(places: Places, layer: Any, name: str) -> Call:
    """For the RNN layer: its cells' kernels are rounded once, not in each step."""
    kernels = places.kernels_of(name)

    def call(sequences: Any, *args: Any, **kwargs: Any) -> Any:
        places.entered(name, sequences)
        with rounded_weights(places, kernels):
            return type(layer).call(layer, sequences, *args, **kwargs)

    return call


def lstm_cell(places: Places, cell: Any, name: str) -> Call:
    import keras

    ops = keras.ops
    from_input, from_state, gates = (places.point(name, role) for role in ("input", "recurrent", "gates"))
    kept, new, carry, output = (places.point(name, role) for role in ("kept", "new", "carry", "output"))
    open_gate = after_rounding(places, name, cell.recurrent_activation, "gate")
    candidate, squashed = (after_rounding(places, name, cell.activation, role) for role in ("candidate", "squashed"))

    def call(inputs: Any, states: Any, training: bool = False) -> Any:
        state, carried = states
        inputs, state = _dropped(cell, inputs, state, training)
        both = from_input(_project(inputs, cell.kernel, cell.bias if cell.use_bias else None))
        z = both if _is_zero(state) else gates(both + from_state(ops.matmul(state, cell.recurrent_kernel)))
        # Slices where the carry is zero, since one of the parts is not used there (see plain.py).
        i, f, g, o = slices(z, 4, -1) if _is_zero(carried) else ops.split(z, 4, axis=-1)
        fresh = new(open_gate(i) * candidate(g))
        carried = fresh if _is_zero(carried) else carry(kept(open_gate(f) * carried) + fresh)
        result = output(open_gate(o) * squashed(carried))
        return result, [result, carried]

    return call


def gru_cell(places: Places, cell: Any, name: str) -> Call:
    import keras

    ops = keras.ops
    from_input, from_state, gates = (places.point(name, role) for role in ("input", "recurrent", "gates"))
    reset, proposed, old, share, fresh, output = (
        places.point(name, role) for role in ("reset", "proposed", "old", "share", "fresh", "output")
    )
    open_gate = after_rounding(places, name, cell.recurrent_activation, "gate")
    candidate = after_rounding(places, name, cell.activation, "candidate")
    units = cell.units

    def total(x: Any, h: Any) -> Any:
        return x if h is None else gates(x + h)

    def call(inputs: Any, states: Any, training: bool = False) -> Any:
        state = states[0] if isinstance(states, list | tuple) else states
        first = _is_zero(state)
        inputs, state = _dropped(cell, inputs, state, training)
        input_bias, state_bias = cell.bias if cell.use_bias else None, None
        if cell.use_bias and cell.reset_after:
            input_bias, state_bias = (ops.reshape(b, (3 * units,)) for b in ops.split(cell.bias, 2, axis=0))
        x_z, x_r, x_h = ops.split(from_input(_project(inputs, cell.kernel, input_bias)), 3, axis=-1)
        h_h = None
        if first:
            parts = ops.split(state_bias, 3) if state_bias is not None else []
            h_z, h_r, h_h = [places.constant(name, part) for part in parts] or (None, None, None)
        elif cell.reset_after:
            h_z, h_r, h_h = ops.split(from_state(_project(state, cell.recurrent_kernel, state_bias)), 3, axis=-1)
        else:
            h_z, h_r = ops.split(from_state(ops.matmul(state, cell.recurrent_kernel[:, : 2 * units])), 2, axis=-1)
        z, r = open_gate(total(x_z, h_z)), open_gate(total(x_r, h_r))
        past = None if h_h is None else reset(r * h_h)
        if not first and not cell.reset_after:
            past = from_state(ops.matmul(reset(r * state), cell.recurrent_kernel[:, 2 * units :]))
        new = share(1 - z) * candidate(x_h if past is None else proposed(x_h + past))
        result = output(new if first else old(z * state) + fresh(new))
        return result, [result] if isinstance(states, list | tuple) else result

    return call


def simple_cell(places: Places, cell: Any, name: str) -> Call:
    import keras

    from_input, from_state, total = (places.point(name, role) for role in ("input", "recurrent", "total"))
    finish = after_rounding(places, name, cell.activation)

    def call(sequence: Any, states: Any, training: bool = False) -> Any:
        state = states[0] if isinstance(states, list | tuple) else states
        inputs, state = _dropped(cell, sequence, state, training)
        both = from_input(_project(inputs, cell.kernel, cell.bias))
        if not _is_zero(state):
            both = total(both + from_state(keras.ops.matmul(state, cell.recurrent_kernel)))
        result = finish(both)
        return result, [result] if isinstance(states, list | tuple) else result

    return call


CELLS: dict[str, Callable[[Places, Any, str], Call]] = {
    "LSTMCell": lstm_cell,
    "GRUCell": gru_cell,
    "SimpleRNNCell": simple_cell,
}


def _project(x: Any, kernel: Any, bias: Any) -> Any:
    import keras

    product = keras.ops.matmul(x, kernel)
    return product if bias is None else keras.ops.add(product, bias)


def _dropped(cell: Any, inputs: Any, state: Any, training: bool) -> tuple[Any, Any]:
    """The dropout of a cell, as Keras' own cells apply it with implementation 2."""
    if not training:
        return inputs, state
    if 0 < cell.dropout < 1:
        mask = cell.get_dropout_mask(inputs)
        inputs = inputs * (mask[0] if isinstance(mask, list) else mask)
    if 0 < cell.recurrent_dropout < 1 and type(cell).__name__ == "SimpleRNNCell":
        state = state * cell.get_recurrent_dropout_mask(state)
    return inputs, state


def _is_zero(state: Any) -> bool:
    """Whether this is the first of the steps that are written out: what is multiplied by it falls away."""
    import tensorflow as tf

    if hasattr(state, "numpy"):  # in eager mode every step is computed alike
        return False
    value = tf.get_static_value(state)
    return value is not None and not value.any()
