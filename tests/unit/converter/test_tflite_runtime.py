"""What is converted for a `…-tflite` target really loads in tflite-runtime 2.14, and answers within the tolerance."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from unit.converter.test_zoo import NAMES, RECIPES, convert

from edgewright_converter.doctor import ERROR, examine
from edgewright_converter.targets import get_target

pytestmark = pytest.mark.slow

LOAD = """
import sys
from pathlib import Path
import numpy as np
from tflite_runtime.interpreter import Interpreter

for path in sorted(Path(sys.argv[1]).glob("*.tflite")):
    golden = np.load(path.with_suffix(".npz"))
    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        apart = np.zeros(len(outputs))
        for sample in range(len(golden["in0"])):
            for number, tensor in enumerate(inputs):
                interpreter.set_tensor(tensor["index"], golden[f"in{number}"][sample])
            interpreter.invoke()
            for number, tensor in enumerate(outputs):
                found = interpreter.get_tensor(tensor["index"]).astype(float)
                difference = np.abs(found - golden[f"out{number}"][sample].astype(float)).max()
                apart[number] = max(apart[number], difference * (tensor["quantization"][0] or 1))
        print(path.stem, "apart" if (apart > golden["atol"]).any() else "ok", *apart)
    except (ValueError, RuntimeError) as error:
        print(path.stem, "refused", *str(error).split())
"""


@pytest.fixture(scope="module")
def old_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with tflite-runtime 2.14."""
    if sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime 2.14 has no wheel for Python 3.12 and later")
    folder = tmp_path_factory.mktemp("tflite")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    packages = ["tflite-runtime==2.14.0", "numpy<2"]
    installed = subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], capture_output=True, check=False)
    if installed.returncode:
        pytest.skip(f"tflite-runtime 2.14 cannot be installed here: {installed.stderr.decode().strip()[-200:]}")
    return python


def run(python: Path, folder: Path) -> dict[str, str]:
    """What the old runtime says of each model in the folder: ok, apart or refused."""
    done = subprocess.run([python, "-c", LOAD, str(folder)], capture_output=True, text=True, check=True)
    return {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_model_of_the_zoo_loads_and_answers(old_runtime: Path, recipe: str, tmp_path: Path) -> None:
    from unit.converter import zoo

    names = [name for name in NAMES if (name, recipe) != ("transformer", "int16x8")]  # refused: see test_zoo.py
    for name in names:
        finished = convert(zoo.build(name), zoo.samples(name), recipe, target="rpi4-tflite")
        (tmp_path / f"{name}.tflite").write_bytes(finished.model)
        ends = [("in", finished.golden.inputs), ("out", finished.golden.outputs)]
        arrays = {f"{end}{number}": array for end, group in ends for number, array in enumerate(group)}
        np.savez(tmp_path / f"{name}.npz", **arrays, atol=np.array(finished.golden.atol))
    assert run(old_runtime, tmp_path) == dict.fromkeys(names, "ok")


def test_the_doctor_is_right_about_both_runtimes(old_runtime: Path, tmp_path: Path) -> None:
    """Conversions for the newest runtime: what the doctor says of each is what each engine does."""
    from unit.converter import zoo

    chosen = [(name, "dynamic-int8") for name in ("lstm", "functional", "transformer", "transformer_masked")]
    chosen += [("transformer", "int16x8"), ("conv2d", "int8-full"), ("masked", "float16"), ("many", "int8")]
    for name, recipe in chosen:
        finished = convert(zoo.build(name), zoo.samples(name), recipe, target="generic-x86-64")
        (tmp_path / f"{name}-{recipe}.tflite").write_bytes(finished.model)
    verdicts: dict[str, list[bool]] = {"litert": [], "tflite": []}
    here = "generic-x86-64"
    for engine, python, target in (("litert", sys.executable, here), ("tflite", old_runtime, f"{here}-tflite")):
        program = Path(__file__).with_name("engine_truth.py")
        done = subprocess.run([python, program, engine, tmp_path], capture_output=True, check=True)
        for name, answer in json.loads(done.stdout).items():
            findings = examine((tmp_path / f"{name}.tflite").read_bytes(), get_target(target))
            runs = not any(finding.severity == ERROR for finding in findings)
            assert runs == (answer["said"] == "ok"), (engine, name, answer, findings)
            verdicts[engine].append(runs)
    assert all(verdicts["litert"])
    assert 0 < sum(verdicts["tflite"]) < len(chosen)
