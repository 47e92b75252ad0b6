"""edgetpu_compiler, where it is on PATH: run it, again where it crashes, and read what it logs.

The log's form is that of https://coral.ai/docs/edgetpu/compiler/ (version 16.0.384591198). The compiler is in no
registry that this project installs from, so nothing here has met it: the tests use a stand-in that prints this form.
"""

import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..errors import ConversionError
from ..flatbuffer import read

PROGRAM = "edgetpu_compiler"
MAPPED = "Mapped to Edge TPU"
_TRIES = 3
_TIMEOUT_S = 600
_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass(frozen=True)
class Row:
    """So many operations of a kind, and what became of them: MAPPED, or why they stay on the CPU."""

    operator: str
    count: int
    status: str


@dataclass(frozen=True)
class Log:
    """What the compiler says. Sizes in bytes; None and () are what it did not say."""

    version: str | None
    rows: tuple[Row, ...]
    cached_bytes: int | None
    remaining_bytes: int | None
    streamed_bytes: int | None
    subgraphs: int | None

    @property
    def on_tpu(self) -> int:
        return sum(row.count for row in self.rows if row.status == MAPPED)

    @property
    def on_cpu(self) -> int:
        return sum(row.count for row in self.rows if row.status != MAPPED)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Compiled:
    """A flatbuffer for the Edge TPU. tries: how often the compiler had to be started."""

    model: bytes
    log: Log
    tries: int


def available() -> bool:
    return shutil.which(PROGRAM) is not None


def compile_model(model: bytes, *, tries: int = _TRIES, timeout_s: float = _TIMEOUT_S) -> Compiled:
    """Raises ConversionError with the compiler's own words where it refuses, or crashes each time."""
    said = ""
    for attempt in range(1, tries + 1):
        with TemporaryDirectory(prefix="edgewright-") as folder:
            source = Path(folder, "model.tflite")
            source.write_bytes(model)
            command = [PROGRAM, "--show_operations", "--out_dir", folder, str(source)]
            try:
                done = subprocess.run(command, capture_output=True, timeout=timeout_s, stdin=subprocess.DEVNULL)
            except FileNotFoundError as error:
                raise ConversionError(f"{PROGRAM} is not on PATH: see docs/coral.md.") from error
            except subprocess.TimeoutExpired as error:
                raise ConversionError(
                    f"{PROGRAM} was not done after {timeout_s:.0f} s: use a smaller model."
                ) from error
            said = (done.stdout + done.stderr).decode("utf-8", "replace")
            compiled = Path(folder, "model_edgetpu.tflite")
            if done.returncode == 0 and compiled.is_file():
                return Compiled(compiled.read_bytes(), parse_log(said), attempt)
            if done.returncode >= 0 and "Internal compiler error" not in said:
                raise ConversionError(f"{PROGRAM} refused the model ({_decisive(said)}): see docs/coral.md.")
    raise ConversionError(f"{PROGRAM} crashed {tries} times ({_decisive(said)}): the bundle has no Edge TPU variant.")


def keeps_ends(model: bytes, compiled: bytes) -> bool:
    """Whether the compiled model has the same inputs and outputs in the same order. Its signature is gone, and with it
    the names that users know; the tensors' own names stay."""
    ends = []
    for content in (model, compiled):
        graph = read(content).subgraphs[0]
        ends.append(
            [
                [(t.name, t.shape, t.dtype) for t in map(graph.tensors.__getitem__, e)]
                for e in (graph.inputs, graph.outputs)
            ]
        )
    return ends[0] == ends[1]


def parse_log(text: str) -> Log:
    """What --show_operations prints. Lines that it does not know are passed over."""
    rows = re.findall(r"^([A-Z][A-Z0-9_]+|[a-z][\w-]*)[ ]{2,}(\d+)[ ]{2,}(\S.*?)\s*$", text, re.MULTILINE)
    version = re.search(r"^Edge TPU Compiler version (\S+)", text, re.MULTILINE)
    subgraphs = re.search(r"^Number of Edge TPU subgraphs: (\d+)", text, re.MULTILINE)
    return Log(
        version=version[1] if version else None,
        rows=tuple(Row(name, int(count), status) for name, count, status in rows),
        cached_bytes=_size(text, "On-chip memory used for caching model parameters"),
        remaining_bytes=_size(text, "On-chip memory (?:remaining|available) for caching model parameters"),
        streamed_bytes=_size(text, "Off-chip memory used for streaming uncached model parameters"),
        subgraphs=int(subgraphs[1]) if subgraphs else None,
    )


def _size(text: str, label: str) -> int | None:
    found = re.search(rf"^{label}: ([\d.]+)(B|KiB|MiB|GiB)$", text, re.MULTILINE)
    return round(float(found[1]) * _SIZES[found[2]]) if found else None


def _decisive(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|invalid|not quantized|aborted|failed", line, re.IGNORECASE)]
    return (telling or lines or ["it said nothing"])[0][:300]
