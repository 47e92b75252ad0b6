"""The converter's branches of the exception tree.

EdgewrightError
├── RecipeError               4   a recipe, a pass or a target that cannot be
└── ConversionError           5   the conversion failed, crashed, took too long, or gave a wrong answer
    └── ModelError            5   the model itself cannot be read or used
"""

from edgewright_runtime.errors import RUNTIME_ERRORS, EdgewrightError


class RecipeError(EdgewrightError):
    """A recipe has an unknown key, a wrong type, or passes that cannot follow each other."""

    exit_code = 4


class ConversionError(EdgewrightError):
    """The conversion failed. log: everything that the child process printed, or an empty string."""

    exit_code = 5
    log: str = ""


class ModelError(ConversionError):
    """The model cannot be read: unknown format, unknown layer, code that safe mode refuses."""


CONVERTER_ERRORS: dict[str, type[EdgewrightError]] = {
    **RUNTIME_ERRORS,
    **{kind.__name__: kind for kind in (RecipeError, ConversionError, ModelError)},
}
