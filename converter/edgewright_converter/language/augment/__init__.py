"""More training data out of little: texts, sounds and pictures, slightly changed. Seeded, one at a time."""

from .parse import parse_augmentation
from .text import Augmenter

__all__ = ["Augmenter", "parse_augmentation"]
