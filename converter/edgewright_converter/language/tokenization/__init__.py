"""Tokenizers of all kinds, trained or taken over on this machine, for the device to run."""

from .files import read_tokenizer
from .huggingface import from_huggingface
from .library import to_library
from .stop_words import stop_words
from .train import train_tokenizer

__all__ = ["from_huggingface", "read_tokenizer", "stop_words", "to_library", "train_tokenizer"]
