from pathlib import Path

import pytest

from edgewright_converter.errors import RecipeError
from edgewright_converter.profile import format_profile, read_profile, write_profile
from edgewright_converter.targets import FACTS, TARGETS, get_target, option_for, version_key
from edgewright_runtime.errors import InputError


@pytest.mark.parametrize("name", ["local", "rpi5", "rpi4", "rpi3", "rpi-zero2", "generic-x86-64", "generic-arm64"])
def test_these_can_be_had_with_the_old_runtime(name: str) -> None:
    new, old = TARGETS[name], TARGETS[f"{name}-tflite"]
    assert (new.engine, old.engine, old.runtime, old.machine) == ("litert", "tflite", "2.14.0", new.machine)


def test_boards_that_litert_has_no_wheel_for() -> None:
    assert get_target("generic-armv7").engine == "tflite"
    assert {target.engine for target in TARGETS.values() if target.machine == "armv7l"} == {"tflite"}
    assert [name for name, target in TARGETS.items() if target.edgetpu] == ["coral-usb", "coral-devboard"]


def test_every_system_of_every_board() -> None:
    for board in ("rpi4", "rpi3", "rpi-zero2"):
        python = {"-bullseye": "3.9", "-bullseye-32": "3.9", "": "3.11", "-bookworm-32": "3.11", "-trixie": "3.13"}
        for system, version in {**python, "-trixie-32": "3.13"}.items():
            target = get_target(board + system)
            assert (target.python, target.machine) == (version, "armv7l" if system.endswith("-32") else "aarch64")
    assert "rpi5-bullseye" not in TARGETS


def test_each_known_fact_of_a_board_says_where_it_comes_from() -> None:
    for target in TARGETS.values():
        if target.board is not None and target.system is not None:
            known = {key for key in FACTS if getattr(target, key) not in (None, (), False)}
            assert known <= set(target.sources), target.name


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_target_survives_its_profile(target: object, tmp_path: Path) -> None:
    write_profile(target, tmp_path / "board.toml")  # type: ignore[arg-type]
    assert get_target(str(tmp_path / "board.toml")) == target


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("engine = 'litert'", "machine is missing"),
        ("engine = 'onnx'\nmachine = 'aarch64'", "engine must be one of litert, tflite, not 'onnx'"),
        ("engine = 'litert'\nmachine = 'aarch64'\nram = 4", "unknown key 'ram'"),
        ("engine = 'litert'\nmachine = 'aarch64'\nmemory_mb = true", "memory_mb must be a whole number, not True"),
        ("engine = 'litert'\nmachine = 'aarch64'\npython = 'three'", "python must be a version"),
        ("engine = 'litert'\nmachine = 'aarch64'\ncpu_features = [1]", "cpu_features must be a list of strings"),
        ("engine = ", "not valid TOML"),
    ],
)
def test_a_bad_profile_is_told(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(RecipeError, match=problem):
        read_profile(tmp_path / "bad.toml")


def test_a_profile_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml cannot be read"):
        get_target("nowhere.toml")


def test_a_profile_needs_little(tmp_path: Path) -> None:
    (tmp_path / "attic.toml").write_text("engine = 'tflite'\nmachine = 'armv7l'\n")
    target = read_profile(tmp_path / "attic.toml")
    assert (target.name, target.runtime, target.cpu_features) == ("attic", "2.14.0", ())
    assert "memory_mb" not in format_profile(target)


def test_a_device_has_a_name_that_target_takes() -> None:
    (attic,) = [target for target in TARGETS.values() if target.name == "rpi4-bullseye"]
    assert option_for(attic) == "rpi4-bullseye"
    assert option_for(get_target("rpi4"), "tflite") == "rpi4-tflite"
    probed = read_profile_of("aarch64", "tflite")
    assert option_for(probed) == "generic-arm64-tflite"
    assert option_for(read_profile_of("riscv64", "litert")) == "local"


def read_profile_of(machine: str, engine: str):  # type: ignore[no-untyped-def]
    from edgewright_converter.targets import Target

    return Target("attic", engine, "2.14.0", machine)


def test_unknown_target_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'rpi-zero2'"):
        get_target("rpi-zero")


def test_versions_sort_as_numbers() -> None:
    assert sorted(["2.9.0", "2.14.0", "1.15.0"], key=version_key) == ["1.15.0", "2.9.0", "2.14.0"]
