"""edgetpu_compiler's place in a conversion, with a stand-in that logs in its documented form."""

import os
import stat
import sys
from pathlib import Path

import pytest
from unit.converter.test_package import REQUEST, finished
from unit.models import FlatbufferBuilder, tiny_model

from edgewright_converter.edgetpu.compiler import MAPPED, Row, available, compile_model, keeps_ends, parse_log
from edgewright_converter.errors import ConversionError
from edgewright_converter.package import write_bundle
from edgewright_converter.pipeline import _for_edgetpu
from edgewright_runtime.bundle import Bundle

# As documented and as people show it in public: https://coral.ai/docs/edgetpu/compiler/, google-coral/edgetpu#490.
LOG = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 1107 ms.

Input model: model.tflite
Input size: 4.08MiB
Output model: model_edgetpu.tflite
Output size: 4.35MiB
On-chip memory used for caching model parameters: 4.21MiB
On-chip memory remaining for caching model parameters: 3.36MiB
Off-chip memory used for streaming uncached model parameters: 41.75KiB
Number of Edge TPU subgraphs: 1
Total number of operations: 85
Operation log: model_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the model will \
instead run on the CPU, which is slower. For details, visit g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: 81
Number of operations that will run on CPU: 4

Operator                       Count      Status

DEQUANTIZE                     2          Operation is working on an unsupported data type
DEPTHWISE_CONV_2D              80         Mapped to Edge TPU
LOGISTIC                       1          Operation is otherwise supported, but not mapped due to some unspecified \
limitation
CONCATENATION                  1          Mapped to Edge TPU
CONCATENATION                  1          More than one subgraph is not supported
Compilation child process completed within timeout period.
Compilation succeeded!
"""

STAND_IN = """#!{python}
import os, signal, sys
from pathlib import Path
arguments = sys.argv[1:]
assert arguments[0] == "--show_operations" and arguments[1] == "--out_dir", arguments
counter = Path(__file__).with_name("started")
started = int(counter.read_text()) + 1 if counter.exists() else 1
counter.write_text(str(started))
print("Edge TPU Compiler version 16.0.384591198", flush=True)
if {refuses!r}:
    print({refuses!r})
    sys.exit(1)
if started <= {crashes}:
    os.kill(os.getpid(), signal.SIGSEGV)
source = Path(arguments[3])
compiled = Path({output!r}).read_bytes() if {output!r} else source.read_bytes()
Path(arguments[2], source.stem + "_edgetpu.tflite").write_bytes(compiled)
print({log!r})
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(crashes: int = 0, refuses: str = "", output: Path | str = "") -> Path:
        program = folder / "edgetpu_compiler"
        program.write_text(
            STAND_IN.format(python=sys.executable, crashes=crashes, refuses=refuses, output=str(output), log=LOG)
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return folder

    return make


def test_the_log_is_read() -> None:
    log = parse_log(LOG)
    assert (log.version, log.subgraphs) == ("16.0.384591198", 1)
    assert (log.on_tpu, log.on_cpu) == (81, 4)
    sizes = (log.cached_bytes, log.remaining_bytes, log.streamed_bytes)
    assert sizes == (round(4.21 * 2**20), round(3.36 * 2**20), round(41.75 * 1024))
    assert log.rows[0] == Row("DEQUANTIZE", 2, "Operation is working on an unsupported data type")
    assert log.rows[2].status.endswith("due to some unspecified limitation")
    assert log.rows[3] == Row("CONCATENATION", 1, MAPPED)


def test_a_log_of_another_version_is_no_error() -> None:
    log = parse_log("Edge TPU Compiler version 2.1.302470888\nModel compiled successfully in 3 ms.\n")
    assert (log.version, log.rows, log.cached_bytes, log.subgraphs) == ("2.1.302470888", (), None, None)


def test_it_compiles(stand_in) -> None:  # type: ignore[no-untyped-def]
    stand_in()
    assert available()
    compiled = compile_model(tiny_model("int8"))
    assert (compiled.model, compiled.tries, compiled.log.on_tpu) == (tiny_model("int8"), 1, 81)


def test_it_is_started_again_where_it_crashes(stand_in) -> None:  # type: ignore[no-untyped-def]
    folder = stand_in(crashes=2)
    assert compile_model(tiny_model("int8")).tries == 3
    assert (folder / "started").read_text() == "3"


def test_it_is_not_started_forever(stand_in) -> None:  # type: ignore[no-untyped-def]
    folder = stand_in(crashes=99)
    with pytest.raises(ConversionError, match="edgetpu_compiler crashed 3 times"):
        compile_model(tiny_model("int8"))
    assert (folder / "started").read_text() == "3"


def test_a_refusal_is_told_in_its_words_and_once(stand_in) -> None:  # type: ignore[no-untyped-def]
    folder = stand_in(refuses="Invalid model: model.tflite\nModel not quantized")
    with pytest.raises(ConversionError, match=r"refused the model \(Invalid model: model\.tflite\)"):
        compile_model(tiny_model())
    assert (folder / "started").read_text() == "1"


def test_a_bundle_carries_both_variants(stand_in, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    stand_in()
    done = finished()
    compiled = _for_edgetpu(done.model)
    assert not isinstance(compiled, str)
    manifest = write_bundle(done, REQUEST, "tiny", "ab" * 32, tmp_path / "tiny.ewb", compiled)
    bundle = Bundle.open(tmp_path / "tiny.ewb")
    bundle.verify()
    assert [(v.path, v.layout) for v in manifest.variants] == [
        ("model.tflite", "cpu"),
        ("model_edgetpu.tflite", "edgetpu"),
    ]
    assert bundle.read(manifest.variant("edgetpu").path) == compiled.model
    assert manifest.variant("edgetpu").inputs == manifest.variant().inputs
    assert manifest.provenance["edgetpu_compiler"]["version"] == "16.0.384591198"


def test_without_the_compiler_there_is_one_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "edgetpu_compiler is not on PATH" in str(_for_edgetpu(tiny_model("int8")))


def test_ends_that_changed_are_noticed(stand_in, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    graph = FlatbufferBuilder()
    x, y = graph.tensor("other:0", (1, 4), "int8", scale=1), graph.tensor("out:0", (1, 3), "int8", scale=1)
    graph.operator("SOFTMAX", 1, [x], y)
    (tmp_path / "other.tflite").write_bytes(graph.build({"x": x}, {"y": y}))
    stand_in(output=tmp_path / "other.tflite")
    assert "changed the model's inputs or outputs" in str(_for_edgetpu(tiny_model("int8")))
    assert keeps_ends(tiny_model("int8"), tiny_model("int8"))
