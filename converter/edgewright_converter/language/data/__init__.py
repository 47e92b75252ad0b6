"""Texts and labels before any model: reading them, splitting them so that nothing leaks, saying what is in them."""

from .corpus import Corpus, join
from .reading import FORMATS, read
from .report import DataReport, describe
from .splitting import PARTS, Splits, split
from .writing import write_csv

__all__ = ["FORMATS", "PARTS", "Corpus", "DataReport", "Splits", "describe", "join", "read", "split", "write_csv"]
