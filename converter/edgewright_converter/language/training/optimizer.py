"""AdamW with a warm-up and a cosine to zero; a backbone's layers may learn the slower the nearer they are to the input.

Discriminative rates as in ULMFiT (Howard and Ruder 2018). Scaling a gradient would change nothing, for Adam divides by
its size: the rate itself is scaled, variable by variable.
"""

from collections.abc import Mapping
from typing import Any

_WARM_UP = 0.1  # of all steps


def schedule(rate: float, steps: int) -> Any:
    """From 0 to rate in a tenth of the steps, then back to 0 along a cosine."""
    import keras

    steps = max(1, steps)
    warm_up = round(steps * _WARM_UP)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warm_up else rate, steps - warm_up, warmup_target=rate if warm_up else None, warmup_steps=warm_up
    )


def adam_w(rate: Any, weight_decay: float, scales: Mapping[str, float] | None = None, clip: float | None = None) -> Any:
    """scales: variable path → factor of the rate, where it is not 1. clip: the longest gradient, of all variables
    together (Pascanu et al. 2013)."""
    import keras

    if not scales:
        return keras.optimizers.AdamW(rate, weight_decay=weight_decay, global_clipnorm=clip)
    own = dict(scales)

    class Discriminative(keras.optimizers.AdamW):  # type: ignore[misc]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            # What comes here is TensorFlow's variable, which has no path.
            path = self._trainable_variables[self._get_variable_index(variable)].path
            super().update_step(gradient, variable, learning_rate * own.get(path, 1.0))

    return Discriminative(rate, weight_decay=weight_decay, global_clipnorm=clip)
