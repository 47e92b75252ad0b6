"""The doctor against files that are wrong in one way each, and against what a real engine makes of them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.converter.bad_files import BAD, Graph, conv, dense
from unit.models import tiny_model, tiny_text_model, wide_model

from edgewright_converter.doctor import ERROR, NOTE, WARNING, examine
from edgewright_converter.doctor.finding import Finding, layer_of, places, worst_first
from edgewright_converter.doctor.memory import plan_bytes
from edgewright_converter.doctor.work import multiplications
from edgewright_converter.flatbuffer import read
from edgewright_converter.targets import get_target

GOOD = {
    "dense": tiny_model(),
    "int8": tiny_model("int8"),
    "text": tiny_text_model(),
    "wide": wide_model(2, 64),
    "plain_dense": dense(),
    "plain_conv": conv(),
    "conv_int8": conv(scales=1),
}


def errors(model: bytes, target: str = "rpi-zero2") -> list[Finding]:
    return [finding for finding in examine(model, get_target(target)) if finding.severity == ERROR]


def test_there_are_thirty_bad_files() -> None:
    assert len(BAD) >= 30


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_explained(name: str) -> None:
    bad = BAD[name]
    found = errors(bad.make())
    assert any(finding.check == bad.check and bad.said in str(finding) for finding in found), found
    for finding in found:
        assert finding.remedy, f"{finding} leaves the user alone"
        assert "\n" not in str(finding)


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_is_not_blamed(name: str) -> None:
    assert [f for f in examine(GOOD[name], get_target("rpi4")) if f.severity != NOTE] == []
    assert errors(GOOD[name], "rpi4-tflite") == []


def test_the_engine_says_the_same(tmp_path: Path) -> None:
    """Whatever the doctor calls an error, the engine refuses; what it lets pass, the engine runs."""
    asked = {name: bad.make() for name, bad in BAD.items() if bad.engine} | GOOD
    for name, model in asked.items():
        (tmp_path / f"{name}.tflite").write_bytes(model)
    program = Path(__file__).with_name("engine_truth.py")
    done = subprocess.run([sys.executable, program, "litert", tmp_path], capture_output=True, check=True, timeout=120)
    truth = json.loads(done.stdout)
    assert {name: entry["said"] == "ok" for name, entry in truth.items()} == {name: name in GOOD for name in asked}


@pytest.mark.parametrize(("scales", "runs"), [(1, True), (3, False)])
def test_four_bits_with_a_scale_for_each_channel_are_not_for_2_14(scales: int, runs: bool) -> None:
    """Which both engines confirm for the models of the zoo: benchmarks/doctor.py."""

    def narrow(graph: Any, model: Any) -> None:
        weights = graph.tensors[2]
        weights.type = schema.TensorType.INT4
        weights.quantization.scale, weights.quantization.zeroPoint = [1.0] * scales, [0] * scales
        model.buffers[weights.buffer].data = np.zeros(6, np.uint8)

    model = dense(edit=narrow, dtype="int8", scale=1.0)
    assert errors(model, "rpi4") == []
    assert [finding.check for finding in errors(model, "rpi4-tflite")] == ([] if runs else ["type"])


@pytest.mark.parametrize(
    ("scales", "rows", "taken", "given", "crashes"),
    [(4, 2, 8, 4, True), (1, 2, 8, 4, False), (4, 1, 8, 4, False), (3, 1, 8, 3, True), (4, 1, 7, 4, True)],
)
def test_what_crashes_2_14_on_aarch64_is_an_error_there(
    scales: int, rows: int, taken: int, given: int, crashes: bool
) -> None:
    """As it was seen on an emulated board."""
    graph = Graph()
    x, y = graph.tensor("x", (rows, taken), "int8", scale=1.0), graph.tensor("y", (rows, given), "int8", scale=1.0)
    weights = graph.tensor("weights", (given, taken), "int8", np.ones((given, taken), np.int8), scale=1.0)
    quantization = graph.raw().tensors[weights].quantization
    quantization.scale, quantization.zeroPoint = [1.0] * scales, [0] * scales
    graph.operator("FULLY_CONNECTED", 6, [x, weights], y, "FullyConnectedOptions")
    model = graph.build({"x": x}, {"y": y})
    assert [finding.check for finding in errors(model, "rpi4-tflite")] == (["crash"] if crashes else [])
    assert errors(model, "rpi4") == errors(model, "generic-x86-64-tflite") == []


def test_versions_are_judged_by_the_engine() -> None:
    assert errors(tiny_model(dense_version=12), "rpi4") == []
    (finding,) = errors(tiny_model(dense_version=12), "rpi4-bullseye")
    assert finding.where == "FULLY_CONNECTED in logits"
    assert finding.problem == "version 12 is needed, tflite has versions up to 10"
    assert "--target rpi4-bullseye," in finding.remedy
    assert "--engine litert" in finding.remedy


def test_types_are_judged_by_the_engine() -> None:
    model = Graph().one("GELU", ["int16"], "int16", scale=0.5)
    assert errors(model, "rpi4") == []
    (finding,) = errors(model, "rpi4-tflite")
    assert finding.problem == "tflite has no kernel from int16 to int16"
    assert finding.remedy.startswith("it takes float32, int8, uint8; use the recipe int8")


def test_an_open_shape_is_a_warning() -> None:
    graph = Graph()
    x, y = graph.tensor("x", (1, 4)), graph.tensor("y", (1, 4))
    graph.raw().tensors[x].shapeSignature = [-1, 4]
    graph.operator("RELU", 1, [x], y)
    (found,) = [f for f in examine(graph.build({"x": x}, {"y": y}), get_target("rpi4")) if f.severity == WARNING]
    assert (found.check, found.where) == ("dynamic-shape", "input x")
    assert "--batch" in found.remedy


def test_a_full_board_is_a_warning_before_it_is_an_error() -> None:
    memory = {f.severity for f in examine(wide_model(12, 1700), get_target("rpi-zero2")) if f.check == "memory"}
    assert memory == {WARNING}
    assert {f.severity for f in examine(wide_model(1, 64), get_target("rpi-zero2")) if f.check == "memory"} == {NOTE}


def test_a_processor_without_dot_products_is_a_note() -> None:
    said = [str(finding) for finding in examine(tiny_model("int8"), get_target("rpi4"))]
    assert any("Cortex-A72 has no dot-product instructions" in line for line in said)
    assert not any("dot-product" in str(finding) for finding in examine(tiny_model("int8"), get_target("rpi5")))


@pytest.mark.parametrize(
    ("lives", "size"),
    [
        ([(64, 0, 1), (64, 2, 3)], 64),  # one after the other
        ([(64, 0, 2), (64, 2, 3)], 128),  # both in step 2
        ([(128, 0, 1), (64, 1, 2), (64, 2, 3)], 192),  # the last one where the first was
        ([(64, 0, 9), (64, 0, 1), (64, 1, 9), (64, 2, 3)], 192),  # into the gap that the second left
        ([], 0),
    ],
)
def test_an_arena(lives: list[tuple[int, int, int]], size: int) -> None:
    assert plan_bytes(lives) == size


def test_work_is_counted() -> None:
    assert multiplications(read(wide_model(3, 64, batch=2))) == {"float32": 2 * 3 * 64 * 64}
    assert multiplications(read(conv())) == {"float32": 4 * 4 * 2 * 3}


def test_names() -> None:
    assert layer_of("functional/dense/MatMul;functional/dense/BiasAdd") == "dense"
    assert layer_of("model/block/attention/query/MatMul") == "block/attention/query"
    assert layer_of("logits") == ""
    assert places(["a", "b", "a", "c", "d"]) == "a, b and 2 more"
    note, error = Finding(NOTE, "memory", "m", "p"), Finding(ERROR, "graph", "g", "p", "r")
    assert worst_first([note, error, note]) == [error, note]
    assert str(error) == "g: p: r"


@given(
    changes=st.lists(st.tuples(st.integers(0, 1499), st.integers(0, 255)), min_size=1, max_size=5),
    target=st.sampled_from(["rpi4", "coral-usb"]),
)
@settings(max_examples=150)
def test_hostile_bytes_are_findings_and_never_a_crash(changes: list[tuple[int, int]], target: str) -> None:
    model = bytearray(GOOD["conv_int8"])
    for position, value in changes:
        model[position % len(model)] = value
    for finding in examine(bytes(model), get_target(target)):
        assert "\n" not in str(finding)
