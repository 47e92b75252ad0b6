"""What a language model is judged by, each figure with an interval. NumPy and sacrebleu, no TensorFlow.

classification    accuracy, precision, recall, F1 (macro, weighted, per class), confusion, calibration error
modelling         perplexity, bits per byte
translation       BLEU, chrF
intervals         how sure each of them is: Wilson's for a share, the bootstrap over samples for the rest
"""

from .classification import (
    Average,
    Classification,
    ClassScores,
    accuracy,
    calibration_error,
    classification,
    confusion,
    scores,
)
from .intervals import Measure, bootstrap, proportion
from .modelling import Modelling, bits_per_byte, modelling, perplexity
from .translation import Translation, translation

__all__ = [
    "Average",
    "ClassScores",
    "Classification",
    "Measure",
    "Modelling",
    "Translation",
    "accuracy",
    "bits_per_byte",
    "bootstrap",
    "calibration_error",
    "classification",
    "confusion",
    "modelling",
    "perplexity",
    "proportion",
    "scores",
    "translation",
]
