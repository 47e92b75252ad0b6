"""Fake quantization of a live Keras model: numbers are rounded to the grids that integer kernels will have.

    grids.py        scales, ranges, rounding, SQNR                                NumPy alone
    equalize.py     channels of one size, so that one scale does for all          NumPy alone
    observers.py    from what was seen at a place to the range of its grid        NumPy alone
    points.py       a place where numbers are put on a grid; all of one model's   TensorFlow
    walk.py         the layers of a model by name, and which of them are handled
    layers.py attention.py recurrent.py normalization.py    how each kind of layer is computed with grids
    channels.py     convolutions that are equalized, and which of them have one scale
    report.py       the table of layers, and which of them hurt most

It works in place, on the instances: a layer's `call` (for attention `_compute_attention`) is replaced by one that does
the same on rounded weights and rounds what it gives. The model stays the same object with the same variables, so
`fit`, callbacks, mixed precision, tf.distribute, nested and shared layers need nothing; rebuilding the graph would
lose subclassed models, and a dtype policy cannot reach what happens inside of attention or an RNN's cell. Weights are
swapped by keras.StatelessScope, never assigned. Ranges do not move inside of the training graph; they are measured
between steps, in eager mode, where any observer can be plain NumPy, and are constants for the graph.
"""
