"""Keras → flatbuffer → bundle. TensorFlow is imported by the child process that converts, or for a live model."""

from .errors import ConversionError, ModelError, RecipeError
from .outcome import Outcome, Skipped
from .pipeline import Conversion, convert
from .recipe import Recipe

__all__ = ["Conversion", "ConversionError", "ModelError", "Outcome", "Recipe", "RecipeError", "Skipped", "convert"]
