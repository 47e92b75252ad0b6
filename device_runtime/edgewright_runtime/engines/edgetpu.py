"""An Edge TPU: either interpreter with libedgetpu as its delegate, for flatbuffers that edgetpu_compiler has made.

"edgetpu" takes the first Edge TPU there is, "edgetpu:usb", "edgetpu:pci", "edgetpu:usb:1" or "edgetpu::0" a certain
one, in libedgetpu's own words (https://coral.ai/docs/edgetpu/multiple-edgetpu/). Never run on hardware yet: the tests
load a small delegate of their own through the same interface.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any, Union

from ..errors import EngineError, InputError
from . import litert, tflite
from .base import decisive_line
from .interpreter import InterpreterEngine

NAME = "edgetpu"
LIBRARY = "libedgetpu.so.1"
_DEVICE = re.compile(r"(usb|pci)?(:\d+)?\Z")
# Before its first use and after it. https://coral.ai/docs/accelerator/get-started/
_USB_IDS = {("1a6e", "089a"), ("18d1", "9302")}
# tflite-runtime first: libedgetpu must be built for the interpreter's TensorFlow, and its last release is from 2021.
_INTERPRETERS = {tflite: "tflite_runtime.interpreter", litert: "ai_edge_litert.interpreter"}


def open_edgetpu(model: Union[bytes, str, Path], name: str, threads: int) -> InterpreterEngine:
    """Load a compiled flatbuffer. Raises InputError for a malformed name, EngineError saying which part is missing."""
    device = name[len(NAME) + 1 :]
    if not _DEVICE.match(device):
        raise InputError(f"{name} names no Edge TPU: write edgetpu, edgetpu:usb, edgetpu:pci or edgetpu:usb:1.")
    engine, interpreter = import_interpreter()
    delegate = _load(interpreter, device, engine.NAME)
    return InterpreterEngine(NAME, engine.DISTRIBUTION, interpreter.Interpreter, model, threads, delegate)


def import_interpreter() -> tuple[Any, Any]:
    """The engine's module here, and the one with its Interpreter and load_delegate. Raises EngineError."""
    problems = []
    for engine, module in _INTERPRETERS.items():
        try:
            return engine, import_module(module)
        except (ImportError, OSError) as error:
            problems.append(f"{engine.NAME}: {decisive_line(error)}")
    raise EngineError(
        f"The Edge TPU needs tflite-runtime or ai-edge-litert, and neither can be imported here "
        f"({'; '.join(problems)}): run `edgewright device setup` for this device."
    )


def _load(interpreter: Any, device: str, engine: str) -> Any:
    try:
        return interpreter.load_delegate(LIBRARY, {"device": device} if device else {})
    except OSError as error:
        raise EngineError(_library_problem(decisive_line(error))) from error
    except AttributeError as error:
        raise EngineError(
            f"{LIBRARY} here is no delegate of this kind ({decisive_line(error)}): install libedgetpu1-std again, in "
            f"the version for the TensorFlow of {engine}."
        ) from error
    except (ValueError, RuntimeError) as error:
        said = str(error).partition("\n")[2].strip()  # after the line that both interpreters begin with
        raise EngineError(_device_problem(device, said)) from error


def _library_problem(reason: str) -> str:
    if "No such file" in reason:
        return (
            f"{LIBRARY} is not installed here: install the package libedgetpu1-std of "
            "https://coral.ai/software/#debian-packages, or use the CPU variant with another engine."
        )
    return f"{LIBRARY} cannot be loaded here ({reason}): install the libedgetpu1-std that is made for this system."


def _device_problem(device: str, reason: str) -> str:
    wanted = f"Edge TPU {device}" if device else "Edge TPU"
    said = f" ({reason})" if reason else ""
    nodes = attached()
    closed = [str(node) for node in nodes if not _usable(node)]
    if not nodes:
        return (
            f"No {wanted} is attached to this device{said}: plug the Coral in (USB 3), or load the PCIe card's driver "
            "(gasket-dkms), and look at `lsusb -d 1a6e:` and /dev/apex_0."
        )
    if closed:
        return (
            f"The {wanted} is attached, and this user may not open {closed[0]}{said}: add the user to the group "
            "plugdev (USB) or apex (PCIe), install libedgetpu1-std's udev rules, and log in again."
        )
    return (
        f"The {wanted} is attached and does not start{said}: another program may hold it, the cable may be for USB 2, "
        f"or {LIBRARY} is for another TensorFlow: replug it, and install the libedgetpu1-std for this interpreter."
    )


def attached(root: Path = Path("/")) -> list[Path]:
    """The files of /dev through which programs reach the Edge TPUs that this device has."""
    found = sorted(root.glob("dev/apex_*"))
    for device in sorted(root.glob("sys/bus/usb/devices/*")):
        try:
            ids = tuple((device / name).read_text().strip() for name in ("idVendor", "idProduct"))
            numbers = [int((device / name).read_text()) for name in ("busnum", "devnum")]
        except (OSError, ValueError):
            continue
        if ids in _USB_IDS:
            found.append(root / f"dev/bus/usb/{numbers[0]:03}/{numbers[1]:03}")
    return found


def _usable(node: Path) -> bool:
    import os

    return os.access(node, os.R_OK | os.W_OK)
