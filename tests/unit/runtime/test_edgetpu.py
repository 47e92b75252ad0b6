"""The Edge TPU's engine, through the interface that libedgetpu has, with a small delegate in its place."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.models import FlatbufferBuilder, write_bundle

import edgewright_runtime
from edgewright_runtime.bundle import Bundle, write_archive
from edgewright_runtime.engines import installed_engines, open_engine
from edgewright_runtime.engines.edgetpu import _device_problem, _library_problem, attached
from edgewright_runtime.errors import InputError
from edgewright_runtime.hashing import sha256_hex
from edgewright_runtime.manifest import FileEntry

ENGINE = "tflite-runtime" if installed_engines()["tflite"] else "ai-edge-litert"


def identity(compiled: bool) -> bytes:
    """x (1, 4) int8 → the same; as edgetpu_compiler leaves it, without a signature."""
    graph = FlatbufferBuilder()
    x = graph.tensor("x:0", (1, 4), "int8", scale=0.5)
    y = graph.tensor("y:0", (1, 4), "int8", scale=0.5)
    if compiled:
        graph.operator("CUSTOM", 1, [x], y)
        graph._model.operatorCodes[-1].customCode = "edgetpu-custom-op"
        return graph.build({"x": x}, {"y": y}, None)
    graph.operator("RESHAPE", 1, [x], y, "ReshapeOptions", newShape=[1, 4])
    return graph.build({"x": x}, {"y": y})


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("the stand-in for libedgetpu is built with gcc, which is not here")
    folder = tmp_path_factory.mktemp("lib")
    source = Path(__file__).with_name("edgetpu_stand_in.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "libedgetpu.so.1", source], check=True)
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """One with both variants."""
    samples = np.arange(8, dtype=np.int8).reshape(2, 1, 4)
    single = Bundle.open(write_bundle(tmp_path / "single.ewb", identity(False), [samples], mode="int8", atol=0.5))
    files: dict[str, Any] = {entry.path: single.read(entry.path) for entry in single.manifest.files}
    files["model_edgetpu.tflite"] = identity(True)
    entries = tuple(FileEntry(path, len(data), sha256_hex(data)) for path, data in files.items())
    (variant,) = single.manifest.variants
    variants = (variant, variant._replace(path="model_edgetpu.tflite", layout="edgetpu"))
    write_archive(single.manifest._replace(files=entries, variants=variants), files, tmp_path / "both.ewb")
    return tmp_path / "both.ewb"


def runtime(*arguments: object, library: Path | None = None, fails: str | None = None) -> tuple[int, dict[str, Any]]:
    """What the runtime answers, in a process of its own, for the loader looks at its path only once."""
    environment = {**os.environ, "PYTHONPATH": str(Path(edgewright_runtime.__file__).parents[1])}
    environment["LD_LIBRARY_PATH"] = str(library or "")
    if fails is not None:
        environment["STAND_IN_FAILS"] = fails
    command = [sys.executable, "-m", "edgewright_runtime", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("name", ["auto", "edgetpu:usb:0"])
def test_the_compiled_variant_runs_on_the_tpu(bundle: Path, library: Path, name: str, tmp_path: Path) -> None:
    code, document = runtime("verify", bundle, "--engine", name, library=library)
    assert (code, document["engine"]) == (0, "edgetpu")
    assert document["golden"] == [{"output": "y", "samples": 2, "max_difference": 0.0, "atol": 0.5}]
    np.savez(tmp_path / "x.npz", x=np.array([[5, -6, 7, 8]], np.int8))  # by the name that the compiler has dropped
    _, document = runtime("run", bundle, "--inputs", tmp_path / "x.npz", "--engine", name, library=library)
    assert [(output["name"], output["values"]) for output in document["outputs"]] == [("y", [[2.5, -3.0, 3.5, 4.0]])]


def test_a_bench_on_the_tpu(bundle: Path, library: Path) -> None:
    options = ("--min-runs", 3, "--min-seconds", 0)
    code, document = runtime("bench", bundle, "--engine", "edgetpu", *options, library=library)
    assert code == 0
    (result,) = document["results"]
    assert (result["engine"]["name"], result["bundle"]["layout"]) == ("edgetpu", "edgetpu")


def test_without_a_library_the_cpu_runs_the_other_variant(bundle: Path) -> None:
    code, document = runtime("verify", bundle)
    assert (code, document["engine"]) == (0, "litert")
    code, document = runtime("verify", bundle, "--engine", "edgetpu")
    assert (code, document["error"]) == (7, "EngineError")
    assert "libedgetpu.so.1 is not installed here: install the package libedgetpu1-std" in document["message"]


def test_without_a_stick_the_cpu_runs_the_other_variant(bundle: Path, library: Path) -> None:
    code, document = runtime("verify", bundle, library=library, fails="no stick")
    assert (code, document["engine"]) == (0, "litert")
    code, document = runtime("verify", bundle, "--engine", "edgetpu", library=library, fails="no stick")
    assert (code, document["error"]) == (7, "EngineError")
    assert "no stick" in document["message"]
    _, document = runtime("verify", bundle, "--engine", "edgetpu:usb:7", library=library)
    assert "Edge TPU usb:7" in document["message"]
    assert "no such device" in document["message"]


def test_a_bundle_without_a_compiled_variant(tmp_path: Path, library: Path, bundle: Path) -> None:
    code, document = runtime("verify", tmp_path / "single.ewb", "--engine", "edgetpu", library=library)
    assert (code, document["error"]) == (6, "BundleError")
    assert "has no edgetpu variant" in document["message"]


def test_another_library_of_that_name(bundle: Path, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("the library is built with gcc, which is not here")
    (tmp_path / "empty.c").write_text("int nothing;\n")
    command = ["gcc", "-shared", "-fPIC", "-o", tmp_path / "libedgetpu.so.1", tmp_path / "empty.c"]
    subprocess.run(command, check=True)
    code, document = runtime("verify", bundle, "--engine", "edgetpu", library=tmp_path)
    assert (code, document["error"]) == (7, "EngineError")
    assert "is no delegate of this kind" in document["message"]


def test_a_library_that_is_no_library(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "libedgetpu.so.1").write_text("not ELF")
    _, document = runtime("verify", bundle, "--engine", "edgetpu", library=tmp_path)
    assert "libedgetpu.so.1 cannot be loaded here" in document["message"]


def test_an_engine_of_another_version(tmp_path: Path, library: Path) -> None:
    """What the delegate leaves alone, no interpreter knows: so it looks where the two do not fit each other."""
    graph = FlatbufferBuilder()
    x, y = (graph.tensor(name, (1, 4), "int8", scale=0.5) for name in ("x:0", "y:0"))
    graph.operator("CUSTOM", 1, [x], y)
    graph._model.operatorCodes[-1].customCode = "edgetpu-custom-op-2"
    (tmp_path / "other.tflite").write_bytes(graph.build({"x": x}, {"y": y}, None))
    program = "import sys; from edgewright_runtime.engines import open_engine; open_engine(sys.argv[1], 'edgetpu')"
    environment = {**os.environ, "PYTHONPATH": str(Path(edgewright_runtime.__file__).parents[1])}
    environment["LD_LIBRARY_PATH"] = str(library)
    command = [sys.executable, "-c", program, str(tmp_path / "other.tflite")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert f"edgetpu cannot load this model with {ENGINE}" in done.stderr
    assert "install the libedgetpu that is built for this interpreter's TensorFlow" in done.stderr


@pytest.mark.parametrize("name", ["edgetpu:hdmi", "edgetpu:usb:x", "edgetpus"])
def test_a_name_of_no_device(name: str) -> None:
    with pytest.raises(InputError):
        open_engine(identity(True), name)


def _stick(root: Path, vendor: str, product: str, bus: int, device: int) -> Path:
    folder = root / f"sys/bus/usb/devices/{bus}-{device}"
    folder.mkdir(parents=True)
    for name, text in (("idVendor", vendor), ("idProduct", product), ("busnum", bus), ("devnum", device)):
        (folder / name).write_text(f"{text}\n")
    return root / f"dev/bus/usb/{bus:03}/{device:03}"


def test_the_tpus_that_are_attached(tmp_path: Path) -> None:
    assert attached(tmp_path) == []
    fresh, used = _stick(tmp_path, "1a6e", "089a", 2, 4), _stick(tmp_path, "18d1", "9302", 2, 11)
    _stick(tmp_path, "046d", "c52b", 1, 3)  # a mouse
    (tmp_path / "sys/bus/usb/devices/usb1").mkdir()  # a hub says nothing of a vendor
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/apex_0").touch()
    assert sorted(attached(tmp_path)) == sorted([tmp_path / "dev/apex_0", fresh, used])


def test_a_stick_that_may_not_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    stick = Path("/dev/bus/usb/002/004")
    monkeypatch.setattr("edgewright_runtime.engines.edgetpu.attached", lambda: [stick])
    monkeypatch.setattr("edgewright_runtime.engines.edgetpu._usable", lambda node: False)
    assert f"may not open {stick} (busy): add the user to the group plugdev" in _device_problem("", "busy")
    monkeypatch.setattr("edgewright_runtime.engines.edgetpu._usable", lambda node: True)
    assert "another program may hold it" in _device_problem("", "busy")


def test_a_library_for_another_system() -> None:
    problem = _library_problem("/lib/libedgetpu.so.1: version `GLIBC_2.38' not found")
    assert "GLIBC_2.38" in problem
    assert "made for this system" in problem
