import pytest

from edgewright_converter.errors import RecipeError
from edgewright_converter.targets import TARGETS, get_target, version_key


def test_every_64_bit_board_can_be_had_with_the_old_runtime() -> None:
    for name, target in TARGETS.items():
        if target.engine == "litert":
            old = TARGETS[f"{name}-tflite"]
            assert (old.engine, old.runtime, old.machine) == ("tflite", "2.14.0", target.machine)


def test_boards_that_litert_has_no_wheel_for() -> None:
    assert get_target("generic-armv7").engine == "tflite"
    assert [name for name, target in TARGETS.items() if target.edgetpu] == ["coral-usb", "coral-devboard"]


def test_unknown_target_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'rpi-zero2'"):
        get_target("rpi-zero")


def test_versions_sort_as_numbers() -> None:
    assert sorted(["2.9.0", "2.14.0", "1.15.0"], key=version_key) == ["1.15.0", "2.9.0", "2.14.0"]
