"""How some Keras layers are written while they are traced: the same maths, in operators that small devices have.

Always
- Embedding: Keras lets a negative id count from the end, which costs LESS, ADD and SELECT on int32 in every model and
  stops the int16 quantizer. Token ids are never negative, so a plain gather does.
- argmax: Keras tells −0 from 0 with bit operations that no edge runtime has; for the largest of a row it is the same.
- Names: Keras opens a layer's scope twice, once to build and once to call it, and TensorFlow numbers the second one,
  which makes another layer's name of it ("dense" becomes "dense_3"). Opened by its full path, a scope keeps its name.
- LayerNormalization, RMSNormalization: SQUARE and SQUARED_DIFFERENCE have no int16 kernel, and in int8 Keras' x·a + b
  falls apart into floats; (x − mean)·rsqrt(var)·gamma + beta does not: a Transformer takes 148 instead of 245 µs.

In int8-fast and int4
- RNN layers: up to 64 steps are written out one by one, which takes 0.6 of the loop's time; more would be too large a
  file. tflite-runtime 2.14 is the other way round (its delegate has no kernel for the integer weights): it gets the
  loop.
- Attention masks: adding minus infinity's stand-in is one fast operator, choosing between two tensors is none.

In the integer modes
- RNN layers: no integer kernel reads a loop's state, so the steps are written out one by one, however many.
- The first step of an LSTM or GRU: its state is zero, so one of SPLIT's results falls away, and then it is chance
  whether the quantizer leaves that SPLIT in float. Slices do not leave that to chance.
- Attention masks: Keras fills in −2e38 or −1e9, and one scale for that and the scores leaves nothing of the scores:
  every attention becomes uniform. Twelve below the smallest score of the row is as good as minus infinity.

In int8 for an Edge TPU
- LSTM layers without a mask: one operator, in which their state starts at zero.

In int16x8
- Masks of token ids: comparing int32 with 0 stops the quantizer; the sign, cast to bool, says the same.
- Normalizations: RSQRT on int16 loads in no runtime before 2.15; the power of −1/4, twice, stays float.
- Sums: the quantizer gives a sum the scale of what is summed, and it overflows; a mean times the count does not.

Every conversion is compared with the untouched Keras model afterwards.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from .targets import Target

_UNROLLED = 64
_MINUS_INFINITY = 1e7  # what the smallest step of a quantized mask still holds, and no score reaches
MASKED_BELOW = 12.0  # e^-12 is less than half a step of an int16 softmax


def unrolled_steps(mode: str, target: Target) -> float:
    """Up to how many steps of an RNN are written out; 0: it stays a loop."""
    if mode in ("int8", "int16x8"):
        return float("inf")
    return _UNROLLED if mode in ("int8-fast", "int4") and target.engine == "litert" else 0


def fuses(mode: str, target: Target) -> bool:
    """Whether an LSTM becomes one operator."""
    return mode == "int8" and target.edgetpu


@contextmanager
def plain_layers(model: Any, mode: str, unrolled: float = 0, fused: bool = False) -> Iterator[None]:
    """Trace inside of this block; afterwards Keras is as it was. mode: of the quantization that follows; unrolled: up
    to how many steps of an RNN are written out; fused: LSTMs are one operator where its kernel computes the same."""
    import keras
    from keras.src.backend.tensorflow import core, nn, numpy

    swaps = [
        (core.name_scope, "__enter__", _scope),
        (numpy, "argmax", _argmax),
        (keras.layers.Embedding, "call", _embedding),
        (keras.layers.LayerNormalization, "call", lambda original: _normalization(original, mode)),
        (keras.layers.RMSNormalization, "call", lambda original: _normalization(original, mode)),
    ]
    if mode in ("int8", "int16x8"):
        swaps += [
            (nn, "_apply_masks", _apply_masks),
            (keras.layers.Softmax, "call", _softmax),
            (keras.layers.LSTMCell, "call", _cell),
            (keras.layers.GRUCell, "call", _cell),
        ]
    if mode in ("int8-fast", "int4"):
        swaps += [(nn, "_apply_masks", _add_masks)]
    if unrolled:
        swaps += [(keras.layers.RNN, "call", lambda original: _unroll(original, unrolled))]
    if fused:
        swaps += [(keras.layers.LSTM, "call", _fuse)]
    if mode == "int16x8":
        swaps += [(numpy, "not_equal", _not_equal), (numpy, "equal", _equal), (numpy, "sum", _sum)]
    with ExitStack() as stack:
        for owner, name, make in swaps:
            stack.enter_context(patch.object(owner, name, make(getattr(owner, name))))
        yield


@contextmanager
def full_precision(model: Any) -> Iterator[None]:
    """Inside of this block, layers trained in mixed precision compute in float32, as every edge kernel does."""
    half = [layer for layer in model._flatten_layers() if layer.compute_dtype in ("float16", "bfloat16")]
    policies = [layer.dtype_policy for layer in half]
    try:
        for layer in half:
            layer.dtype_policy = "float32"
        yield
    finally:
        for layer, policy in zip(half, policies, strict=True):
            layer.dtype_policy = policy


def recurrent_layers(model: Any) -> list[Any]:
    """Every RNN layer, also those inside of Bidirectional, nested models and the user's own layers."""
    import keras

    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]


# Each of the following takes Keras' own function and gives the one that stands in for it.


def _embedding(_: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, inputs: Any) -> Any:
        import tensorflow as tf

        ids = inputs if inputs.dtype in ("int32", "int64") else tf.cast(inputs, "int32")
        return tf.cast(tf.gather(tf.convert_to_tensor(self.embeddings), ids), self.compute_dtype)

    return call


def _scope(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def enter(self: Any) -> Any:
        import tensorflow as tf

        path = tf.get_current_name_scope()
        self._tf_name_scope = tf.name_scope(f"{path}/{self.name}/" if path else f"{self.name}/")
        return original(self)

    return enter


def _argmax(original: Callable[..., Any]) -> Callable[..., Any]:
    def argmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        import tensorflow as tf

        if axis is None or keepdims or not tf.is_tensor(x) or x.dtype != "float32":
            return original(x, axis, keepdims)
        return tf.argmax(x, axis, "int32")

    return argmax


def _normalization(original: Callable[..., Any], mode: str) -> Callable[..., Any]:
    def call(self: Any, inputs: Any) -> Any:
        import keras
        import tensorflow as tf

        if inputs.dtype != "float32" or not is_last(self.axis, inputs) or getattr(self, "rms_scaling", False):
            return original(self, inputs)
        if isinstance(self, keras.layers.RMSNormalization):
            centred, gain, shift = inputs, self.scale, None
        else:
            centred, gain, shift = inputs - tf.reduce_mean(inputs, -1, keepdims=True), self.gamma, self.beta
        variance = tf.reduce_mean(centred * centred, -1, keepdims=True) + (self.epsilon or keras.config.epsilon())
        if mode == "int16x8":
            root = tf.pow(variance, -0.25)
            outputs = centred * root * root
        else:
            outputs = centred * tf.math.rsqrt(variance)
        if gain is not None:
            outputs *= tf.convert_to_tensor(gain)
        return outputs if shift is None else outputs + tf.convert_to_tensor(shift)

    return call


def is_last(axis: Any, x: Any) -> bool:
    """Whether a layer's axis, or list of axes, is the last of x."""
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    return axes in ((-1,), (len(x.shape) - 1,))


def _fill(scores: Any, mask: Any) -> Any:
    import tensorflow as tf

    return tf.where(mask, scores, tf.reduce_min(scores, -1, keepdims=True) - MASKED_BELOW)


def _unroll(original: Callable[..., Any], steps: float) -> Callable[..., Any]:
    def call(self: Any, sequences: Any, *arguments: Any, **options: Any) -> Any:
        with patch.object(self, "unroll", self.unroll or sequences.shape[1] <= steps):
            return original(self, sequences, *arguments, **options)

    return call


def _fuse(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        import keras
        import tensorflow as tf

        plain = self.activation is keras.activations.tanh and self.recurrent_activation is keras.activations.sigmoid
        if not plain or initial_state is not None or mask is not None or self.return_state or self.stateful:
            return original(self, sequences, initial_state, mask, training)
        batch, steps, features = sequences.shape
        if batch != 1:
            return original(self, sequences, initial_state, mask, training)
        kernel = tf.concat([tf.convert_to_tensor(w) for w in (self.cell.kernel, self.cell.recurrent_kernel)], 0)
        bias = tf.convert_to_tensor(self.cell.bias) if self.use_bias else tf.zeros((4 * self.units,))
        x = tf.reverse(sequences, [1]) if self.go_backwards else sequences
        x, zeros, none = tf.reshape(x, (steps, 1, features)), tf.zeros((1, self.units)), tf.zeros((self.units,))
        states = tf.raw_ops.BlockLSTMV2(
            seq_len_max=tf.constant(steps, tf.int64), x=x, cs_prev=zeros, h_prev=zeros, w=kernel, wci=none, wcf=none,
            wco=none, b=bias, cell_clip=0.0, use_peephole=False,
        ).h  # fmt: skip
        states = tf.reshape(states, (1, steps, self.units))
        last = tf.reshape(tf.slice(states, (0, steps - 1, 0), (1, 1, self.units)), (1, self.units))
        return states if self.return_sequences else last

    return call


def _add_masks(_: Callable[..., Any]) -> Callable[..., Any]:
    def apply_masks(scores: Any, mask: Any, is_causal: bool) -> Any:
        import tensorflow as tf

        mask = _with_causal(scores, mask, is_causal)
        return scores if mask is None else scores + (tf.cast(mask, scores.dtype) - 1.0) * _MINUS_INFINITY

    return apply_masks


def _with_causal(scores: Any, mask: Any, is_causal: bool) -> Any:
    import tensorflow as tf

    if not is_causal:
        return mask
    causal = tf.linalg.band_part(tf.ones(scores.shape[-2:], "bool"), -1, 0)
    return causal if mask is None else tf.logical_and(mask, causal)


def _apply_masks(_: Callable[..., Any]) -> Callable[..., Any]:
    def apply_masks(scores: Any, mask: Any, is_causal: bool) -> Any:
        mask = _with_causal(scores, mask, is_causal)
        return scores if mask is None else _fill(scores, mask)

    return apply_masks


def _softmax(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, inputs: Any, mask: Any = None) -> Any:
        import tensorflow as tf

        if mask is None or not is_last(self.axis, inputs):
            return original(self, inputs, mask)
        mask = tf.cast(mask, "bool")
        return tf.where(mask, original(self, _fill(inputs, mask)), 0.0)

    return call


def _cell(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, inputs: Any, states: Any, training: bool = False) -> Any:
        import tensorflow as tf
        from keras.src.backend.tensorflow import numpy

        state = tf.get_static_value(states[-1] if isinstance(states, list | tuple) else states)
        if state is None or state.any():
            return original(self, inputs, states, training)
        with patch.object(numpy, "split", slices):
            return original(self, inputs, states, training)

    return call


def slices(x: Any, count: int, axis: int = 0) -> list[Any]:
    import tensorflow as tf

    axis %= len(x.shape)
    width = x.shape[axis] // count
    begins = [[0] * axis + [index * width] + [0] * (len(x.shape) - axis - 1) for index in range(count)]
    return [tf.slice(x, begin, [*x.shape[:axis], width, *x.shape[axis + 1 :]]) for begin in begins]


def _not_equal(original: Callable[..., Any]) -> Callable[..., Any]:
    def not_equal(x1: Any, x2: Any) -> Any:
        import tensorflow as tf

        return tf.cast(tf.sign(x1), "bool") if _whole_beside_zero(x1, x2) else original(x1, x2)

    return not_equal


def _equal(original: Callable[..., Any]) -> Callable[..., Any]:
    def equal(x1: Any, x2: Any) -> Any:
        import tensorflow as tf

        return tf.logical_not(tf.cast(tf.sign(x1), "bool")) if _whole_beside_zero(x1, x2) else original(x1, x2)

    return equal


def _whole_beside_zero(x1: Any, x2: Any) -> bool:
    import tensorflow as tf

    return bool(tf.is_tensor(x1) and x1.dtype.is_integer and isinstance(x2, int | float) and x2 == 0)


def _sum(original: Callable[..., Any]) -> Callable[..., Any]:
    def total(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        import tensorflow as tf

        if not tf.is_tensor(x) or not x.dtype.is_floating:
            return original(x, axis, keepdims)
        mean = tf.reduce_mean(x, axis, keepdims)
        return mean * (x.shape.num_elements() / mean.shape.num_elements())

    return total
