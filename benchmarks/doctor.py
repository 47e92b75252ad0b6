"""Is the doctor right? Its verdict on every conversion of the test zoo against what both engines really do, the memory
that it expects against what the runtime takes, and what it costs a flash.

    make .venv/.installed .venv-tflite/.installed
    .venv/bin/python benchmarks/doctor.py [--models functional lstm] [--keep FOLDER] [--device NAME]

--device: the verdicts alone, on a device that is set up, with the engine that it was set up with; such as an emulated
arm64 board (`edgewright device emulate box; edgewright device setup box --engine tflite`).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from edgewright_converter.doctor import ERROR, examine  # noqa: E402
from edgewright_converter.doctor.memory import need  # noqa: E402
from edgewright_converter.flatbuffer import read  # noqa: E402
from edgewright_converter.rawmodel import RawModel  # noqa: E402
from edgewright_converter.targets import get_target  # noqa: E402

PYTHONS = {"litert": ROOT / ".venv/bin/python", "tflite": ROOT / ".venv-tflite/bin/python"}
TARGETS = {"litert": "generic-x86-64", "tflite": "generic-x86-64-tflite"}
TRUTH = ROOT / "tests/unit/converter/engine_truth.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", help="of the zoo; all by default")
    parser.add_argument("--keep", type=Path, help="keep the flatbuffers there, and take those that are there already")
    parser.add_argument("--device", metavar="NAME")
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        convert_zoo(folder, arguments.models)
        verdicts(folder, on_device(arguments.device, folder) if arguments.device else here(folder))
    if not arguments.device:
        memory()
        cost()


def convert_zoo(folder: Path, models: list[str] | None) -> None:
    """<model>.<recipe>.<target>.tflite, for a target of each engine."""
    from unit.converter import zoo
    from unit.converter.test_zoo import NAMES, convert

    from edgewright_converter.errors import ConversionError
    from edgewright_converter.recipe import builtin_recipes

    for name in models or NAMES:
        built = None
        for recipe in builtin_recipes():
            for target in ("local", "local-tflite"):
                path = folder / f"{name}.{recipe}.{target}.tflite"
                if path.exists():
                    continue
                built = built or zoo.build(name)
                try:
                    path.write_bytes(convert(built, zoo.samples(name), recipe, target=target).model)
                except ConversionError as error:
                    print(f"not converted: {path.stem}: {error}")


def here(folder: Path) -> dict[str, bytes]:
    """What the engines do on this machine, by target."""
    return {
        TARGETS[engine]: subprocess.run([python, TRUTH, engine, folder], capture_output=True, check=True).stdout
        for engine, python in PYTHONS.items()
    }


def on_device(name: str, folder: Path) -> dict[str, bytes]:
    """What the device's engine does, by the generic target that is like the device."""
    from edgewright.probe import probe
    from edgewright.remote import connect
    from edgewright_runtime.engines import ENGINES

    with connect(name) as remote:
        found = probe(remote)
        (package,) = found.engines or {}
        engine = {module.DISTRIBUTION: engine for engine, module in ENGINES.items()}[package]
        place = remote.home / "doctor"
        for path in (TRUTH, *folder.glob("*.tflite")):
            remote.transport.put(path, place / path.name)
        argv = [remote.python, str(place / TRUTH.name), engine, str(place)]
        done = remote.transport.run(argv, timeout_s=1800)
        remote.transport.run(["rm", "-r", str(place)], timeout_s=60)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr.decode(errors='replace').strip() or done.returncode}")
    machine = {"aarch64": "arm64", "x86_64": "x86-64"}[found.machine or ""]
    return {f"generic-{machine}" + ("" if engine == "litert" else "-tflite"): done.stdout}


def verdicts(folder: Path, said_by: dict[str, bytes]) -> None:
    """The table: for each recipe and target, models that run of all, by the doctor and by the engine."""
    print(f"\n{'conversion':<30}" + "".join(f"{target:>24}" for target in said_by))
    agreed = total = 0
    rows: dict[str, list[str]] = {}
    for target, document in said_by.items():
        truth = {name: entry["said"] == "ok" for name, entry in json.loads(document).items()}
        counts: dict[str, Counter[str]] = {}
        for name, runs in truth.items():
            findings = examine((folder / f"{name}.tflite").read_bytes(), get_target(target))
            said = not any(finding.severity == ERROR for finding in findings)
            agreed, total = agreed + (said == runs), total + 1
            group = counts.setdefault(name.partition(".")[2], Counter())
            group.update(all=1, doctor=said, engine=runs, agreed=said == runs)
            if said != runs:
                print(f"  {target}: {name}: the doctor says {said}, the engine {runs}")
        for group, count in counts.items():
            cell = f"{count['doctor']}/{count['engine']} of {count['all']}, {count['agreed'] / count['all']:.0%}"
            rows.setdefault(group, []).append(cell)
    for group, cells in sorted(rows.items()):
        print(f"{group:<30}" + "".join(f"{cell:>24}" for cell in cells))
    print(f"run by the doctor/by the engine of all, agreeing; in all {agreed} of {total} agree ({agreed / total:.1%})")


def memory() -> None:
    """Peak resident memory of the runtime's own bench, beside the doctor's estimate."""
    import numpy as np
    from unit.models import tiny_bundle, wide_model, write_bundle

    print(f"\n{'model':<22}{'engine':<9}{'estimated MB':>13}{'measured MB':>13}{'ratio':>8}")
    ratios = []
    with TemporaryDirectory() as temporary:
        bundles = {"tiny": tiny_bundle(Path(temporary, "tiny.ewb"))}
        for layers, width, batch in ((4, 256, 1), (4, 1024, 1), (4, 2048, 1), (2, 512, 4096)):
            path = Path(temporary, f"{layers}x{width}x{batch}.ewb")
            samples = [np.ones((1, batch, width), np.float32)]
            bundles[f"dense {layers}×{width}, batch {batch}"] = write_bundle(
                path, wide_model(layers, width, batch), samples
            )
        for title, path in bundles.items():
            from edgewright_runtime.bundle import Bundle

            model = Bundle.open(path).read("model.tflite")
            for engine, python in PYTHONS.items():
                expected = need(read(model), RawModel(model), engine).total_bytes
                found = peak_bytes(python, engine, path)
                ratios.append(expected / found)
                print(f"{title:<22}{engine:<9}{expected / 1e6:>13.1f}{found / 1e6:>13.1f}{expected / found:>8.2f}")
    print(f"estimated over measured: {min(ratios):.2f} to {max(ratios):.2f}")


def peak_bytes(python: Path, engine: str, bundle: Path) -> int:
    command = [
        python,
        "-m",
        "edgewright_runtime",
        "bench",
        bundle,
        "--engine",
        engine,
        "--min-runs",
        "3",
        "--min-seconds",
        "0",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "device_runtime")}
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    (result,) = json.loads(done.stdout)["results"]
    return int(result["memory_bytes"]["peak"])


def cost() -> None:
    """A fresh flash onto a device in a folder, with the doctor and without, one after the other."""
    program = """
import sys, time, shutil
from pathlib import Path
from edgewright.flash import flash
from edgewright.remote import Remote
from edgewright.transports import LocalTransport
with Remote("kitchen", LocalTransport(Path(sys.argv[2])), sys.executable) as remote:
    remote.install_runtime()
    started = time.perf_counter()
    flash(sys.argv[1], remote, check=sys.argv[3] == "yes")
    print(time.perf_counter() - started)
"""
    import numpy as np
    from unit.models import wide_model, write_bundle

    seconds: dict[str, list[float]] = {"no": [], "yes": []}
    with TemporaryDirectory() as temporary:
        bundle = Path(temporary, "wide.ewb")
        write_bundle(bundle, wide_model(20, 256), [np.ones((1, 1, 256), np.float32)])
        for turn in range(9):
            for check in ("no", "yes") if turn % 2 else ("yes", "no"):
                home = Path(temporary, f"home-{turn}-{check}")
                command = [sys.executable, "-c", program, str(bundle), str(home), check]
                done = subprocess.run(command, capture_output=True, check=True)
                seconds[check].append(float(done.stdout))
    without, with_doctor = (statistics.median(seconds[check]) for check in ("no", "yes"))
    print(f"\nflashing 5 MB: {without:.3f} s, with the doctor {with_doctor:.3f} s ({with_doctor / without:.2f}×)")
    model = wide_model(200, 16)
    started = time.process_time()
    examine(model, get_target("rpi4"))
    print(f"examining 200 operators: {(time.process_time() - started) * 1e3:.0f} ms of the processor")
    loading = "import time; t = time.process_time(); import edgewright_converter.doctor; print(time.process_time() - t)"
    done = subprocess.run([sys.executable, "-c", loading], capture_output=True, check=True)
    print(f"loading the doctor: {float(done.stdout) * 1e3:.0f} ms of the processor")


if __name__ == "__main__":
    main()
