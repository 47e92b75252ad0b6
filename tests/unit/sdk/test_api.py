"""What ``import edgewright`` offers, and what it costs."""

import subprocess
import sys

import pytest

import edgewright
from edgewright import errors


def _python(source: str) -> str:
    completed = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    return completed.stdout


def test_all_is_sorted_and_complete() -> None:
    assert edgewright.__all__ == sorted(edgewright.__all__)
    assert set(edgewright.__all__) <= set(dir(edgewright))
    for name in edgewright.__all__:
        if name != "convert":
            assert callable(getattr(edgewright, name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edgewright.nothing  # noqa: B018


def test_a_function_is_not_hidden_by_the_module_of_its_name() -> None:
    source = "import edgewright.bench, edgewright.flash, edgewright; print(callable(edgewright.bench))"
    assert _python(source) == "True\n"


def test_the_import_is_light() -> None:
    heavy = ("tensorflow", "keras", "matplotlib", "rich", "jinja2", "numpy", "click")
    source = f"import edgewright, sys; print([name for name in {heavy!r} if name in sys.modules])"
    assert _python(source) == "[]\n"


def test_each_error_has_the_exit_code_of_its_branch() -> None:
    codes = {name: getattr(errors, name).exit_code for name in errors.__all__}
    assert codes == {
        "BundleError": 6,
        "CheckError": 9,
        "ConversionError": 5,
        "DeviceError": 8,
        "EdgewrightError": 1,
        "EngineError": 7,
        "InputError": 3,
        "ModelError": 5,
        "RecipeError": 4,
        "StorageError": 10,
        "TransportError": 8,
    }
    for name, code in codes.items():
        kind = getattr(errors, name)
        assert issubclass(kind, errors.EdgewrightError)
        assert f"{name} " in str(errors.__doc__)
        assert f" {code} " in str(errors.__doc__)
