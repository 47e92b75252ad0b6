"""``python engine_truth.py ENGINE FOLDER``: what an engine really does with each .tflite of a folder, as JSON.

Each model is loaded and invoked on zeros in a process of its own, for engines crash. Runs in any environment with an
engine and numpy. For each name: "said" ("ok", "refused" or "crashed"), "why", and the bytes of memory "before" the
model and at the "peak".
"""

import json
import os
import re
import signal
import sys
from importlib import import_module
from pathlib import Path

MODULES = {"litert": "ai_edge_litert.interpreter", "tflite": "tflite_runtime.interpreter"}
LIMIT_S = 30


def try_model(interpreter_class, path):  # type: ignore[no-untyped-def]
    import numpy as np

    try:
        interpreter = interpreter_class(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        for tensor in interpreter.get_input_details():
            interpreter.set_tensor(tensor["index"], np.zeros(tensor["shape"], tensor["dtype"]))
        interpreter.invoke()
    except (ValueError, RuntimeError, TypeError, MemoryError) as error:
        return "refused", str(error).strip().partition("\n")[0]
    return "ok", ""


def status_bytes(key):  # type: ignore[no-untyped-def]
    found = re.search(rf"^{key}:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024


def main(engine, folder):  # type: ignore[no-untyped-def]
    interpreter_class = import_module(MODULES[engine]).Interpreter
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    truth = {}
    for path in sorted(Path(folder).glob("*.tflite")):
        source, sink = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(LIMIT_S)
            before = status_bytes("VmRSS")
            said, why = try_model(interpreter_class, path)
            answer = {"said": said, "why": why, "before": before, "peak": status_bytes("VmHWM")}
            os.write(sink, json.dumps(answer).encode())
            os._exit(0)
        os.close(sink)
        with os.fdopen(source, "rb") as pipe:
            answer = pipe.read()
        status = os.waitpid(child, 0)[1]
        truth[path.stem] = json.loads(answer) if answer else {"said": "crashed", "why": f"status {status}"}
    print(json.dumps(truth))


if __name__ == "__main__":
    main(*sys.argv[1:])
