"""The device's wheel holds every module, its Python is old enough, and it starts without what it does not need."""

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from unit.models import tiny_bundle

ROOM = Path(__file__).parents[3] / "device_runtime"
PACKAGE = ROOM / "edgewright_runtime"
MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("setuptools", reason="building a wheel needs setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOM, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    built = subprocess.run([*command, "--wheel-dir", folder, folder / "source"], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return zipfile.ZipFile(next(folder.glob("edgewright_runtime-*.whl")))


def test_the_wheel_is_complete_and_small(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = {path.relative_to(ROOM).as_posix() for path in [*MODULES, PACKAGE / "py.typed"]}
    assert packed == expected
    assert sum(entry.file_size for entry in wheel.infolist()) < 400_000


def test_the_wheel_asks_for_numpy_and_an_old_python(wheel: zipfile.ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    metadata = wheel.read(name).decode().splitlines()
    required = [line for line in metadata if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert required == ["Requires-Dist: numpy"]
    assert "Requires-Python: >=3.9" in metadata


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_module_is_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 9))


def _modules(code: str) -> set[str]:
    """What a new process has loaded after this code."""
    code += "\nimport sys\nprint(*sys.modules, sep='\\n', file=sys.stderr)\n"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split())


def test_an_answer_takes_no_more_than_it_needs(tmp_path: Path) -> None:
    """What a device would pay for in time and memory at every start, beyond what numpy and the engine load anyway."""
    path = tiny_bundle(tmp_path / "tiny.ewb")
    run = f"from edgewright_runtime.__main__ import main\nmain(['run', {str(path)!r}, '--text', 'on'])"
    ours = _modules(run) - _modules("import numpy, ai_edge_litert.interpreter")
    assert "edgewright_runtime.answer" in ours
    assert not ours & {"hashlib", "_hashlib", "dataclasses", "subprocess", "importlib.metadata", "traceback", "logging"}
    assert not {module.split(".")[0] for module in ours} & {"tensorflow", "keras", "edgewright"}
