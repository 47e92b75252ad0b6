"""The host's wheel holds every module and every data file of the three packages, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {
    "edgewright": ROOT / "sdk/edgewright",
    "edgewright_converter": ROOT / "converter/edgewright_converter",
    "edgewright_runtime": ROOT / "device_runtime/edgewright_runtime",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("setuptools", reason="building a wheel needs setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # From a copy: setuptools leaves a build folder behind, whose stale files would hide a missing one.
    for room in ROOMS.values():
        shutil.copytree(room, source / room.relative_to(ROOT), ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    built = subprocess.run([*command, "--wheel-dir", folder, source], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return zipfile.ZipFile(next(folder.glob("edgewright-*.whl")))


def _files(room: Path) -> set[str]:
    found = (path for path in room.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(room.parent).as_posix() for path in found}


@pytest.mark.parametrize("package", ROOMS)
def test_every_file_of_the_package_is_in_the_wheel(wheel: zipfile.ZipFile, package: str) -> None:
    packed = {name for name in wheel.namelist() if name.startswith(f"{package}/")}
    assert packed == _files(ROOMS[package])


def test_the_wheel_holds_three_packages_the_licence_and_the_command(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    info = next(top for top in tops if top.endswith(".dist-info"))
    assert tops == {*ROOMS, info}
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert "edgewright = edgewright.cli" in wheel.read(f"{info}/entry_points.txt").decode()


def test_plain_edgewright_asks_for_no_tensorflow(wheel: zipfile.ZipFile) -> None:
    metadata = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    required = [line for line in wheel.read(metadata).decode().splitlines() if line.startswith("Requires-Dist:")]
    plain = [line for line in required if "extra ==" not in line]
    assert plain
    assert not [line for line in plain if "tensorflow" in line or "keras" in line or "litert" in line]
