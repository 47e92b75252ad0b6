"""From text to the ids that a model takes, and back: pure Python, the same on the host that trains and on the device.

A tokenizer is a cleaning, a kind of splitting with its vocabulary, and a length. Only the kind that a bundle uses is
imported. No answer depends on the Unicode version of the Python that runs it: classes of characters are tables here.
"""

from .cleaning import Cleaning
from .decoder import Decoder
from .tokenizer import KINDS, POOLINGS, TRUNCATIONS, Tokenizer

__all__ = ["KINDS", "POOLINGS", "TRUNCATIONS", "Cleaning", "Decoder", "Tokenizer"]
