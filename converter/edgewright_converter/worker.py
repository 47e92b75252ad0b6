"""The child process of a task: `python -m edgewright_converter.worker FOLDER PIPE`. See isolation.py."""

import json
import os
import pickle
import sys
import threading
import traceback
from pathlib import Path

from edgewright_runtime.errors import EdgewrightError, storage_errors

from .errors import ConversionError


def main(folder: Path, pipe: int) -> int:
    """Run what task.pickle asks for. Returns the exit code."""
    threading.Thread(target=_end_with_parent, daemon=True).start()

    step = "start"

    def tell(name: str, fraction: float) -> None:
        nonlocal step
        step = name
        _write(pipe, step=name, fraction=fraction)

    try:
        task, arguments = pickle.loads((folder / "task.pickle").read_bytes())
        result = pickle.dumps(task(*arguments, tell))
        with storage_errors(f"write the result in {folder}"):
            (folder / "result.pickle").write_bytes(result)
    except EdgewrightError as error:
        traceback.print_exc()
        _write(pipe, error=type(error).__name__, message=str(error))
        return 1
    except Exception as error:  # from the user's code, Keras or TensorFlow
        traceback.print_exc()
        _write(pipe, error=ConversionError.__name__, message=_sentence(error, step))
        return 1
    return 0


def _write(pipe: int, **message: object) -> None:
    os.write(pipe, json.dumps(message).encode() + b"\n")


def _end_with_parent() -> None:
    os.read(0, 1)  # not sys.stdin, whose lock would turn a sys.exit elsewhere into an abort
    os._exit(1)


def _sentence(error: Exception, step: str) -> str:
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"The step '{step}' failed with {type(error).__name__} at {where}: {reason[:400]}"


if __name__ == "__main__":
    code = main(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # TensorFlow's own ending takes half a second and has nothing left to do
