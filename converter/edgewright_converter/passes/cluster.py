"""Weight sharing: each weight takes one of a few values, found by k-means, which then train as values.

After each step the weights of a cluster take their mean: that is a step along the mean of their gradients, the gradient
of the shared value. A flatbuffer stores every weight all the same, so what becomes small is the compressed file.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from ..outcome import LayerOutcome, Outcome
from .base import Context
from .training import TrainingOptions, train


@dataclass(frozen=True, kw_only=True)
class Cluster(TrainingOptions):
    """clusters: values in each weight; zero: keep zeros zero, so that a sparsity survives; leave: layers or weights by
    name or pattern.
    """

    use: ClassVar[str] = "cluster"
    before: ClassVar[tuple[str, ...]] = ("finetune", "qat", "quantize")

    clusters: int = 16
    zero: bool = True
    leave: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.clusters <= 256:
            raise ValueError(f"clusters must be from 2 to 256, not {self.clusters!r}")

    def apply(self, model: Any, context: Context) -> tuple[Any, Outcome]:
        from ..structure.graph import weight_bytes
        from ..weights.clusters import cluster
        from ..weights.held import hold, kernels

        before = context.score(model)
        chosen, skipped = kernels(model, self.leave)
        distinct = []
        for variable, _ in chosen:
            value = variable.numpy()
            distinct.append(len(np.unique(value)))
            centroids, indices = cluster(value, self.clusters, self.zero)
            variable.assign(centroids.astype(value.dtype)[indices])
            fixed = np.flatnonzero(centroids == 0) if self.zero else np.zeros(0, np.int64)
            hold(variable, shared(indices, len(centroids), fixed), context)
        train(model, context, self)
        after = context.score(model)
        size = weight_bytes(model)
        rows = [
            LayerOutcome(variable.path, "weights", before=count, after=len(np.unique(variable.numpy())))
            for (variable, _), count in zip(chosen, distinct, strict=True)
        ]
        outcome = Outcome(
            use=self.use,
            options={**asdict(self), "leave": list(self.leave)},
            weight_bytes_before=size,
            weight_bytes_after=size,
            accuracy_before=before.accuracy,
            accuracy_after=after.accuracy,
            loss_before=before.loss,
            loss_after=after.loss,
            skipped=tuple(skipped),
            layers=tuple(rows),
        )
        return model, outcome


def shared(indices: Any, count: int, fixed: Any) -> Any:
    """A projection: every weight becomes the mean of its cluster. indices: of the weights' shape; fixed: clusters at
    zero, which stay there.
    """
    import tensorflow as tf

    flat = tf.constant(indices.reshape(-1))
    moving = np.ones(count, np.float32)
    moving[fixed] = 0.0

    def project(weights: Any) -> Any:
        tensor = tf.convert_to_tensor(weights)
        means = tf.math.unsorted_segment_mean(tf.reshape(tensor, [-1]), flat, count) * tf.cast(moving, tensor.dtype)
        return tf.reshape(tf.gather(means, flat), tensor.shape)

    return project
