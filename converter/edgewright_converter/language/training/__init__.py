"""Training from data: texts in, a Keras model and all that belongs to it out.

    files ─► corpus ─► split ─► tokenizer ─► course ─► model ─► metrics ─► files
                                               │         ▲
                                               │         ├── a backbone's weights (transfer.py)
                                               │         └── pre-training on bare text (pretrain.py)
                                               └── samples, loss and judgement by task: classify.py, modelling.py

Each call of model.fit is that of the passes (passes/training.py), with its checkpoints, precision and strategies.
"""

from .run import Trained, train
from .settings import Settings

__all__ = ["Settings", "Trained", "train"]
