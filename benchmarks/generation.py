"""What a token costs on the device: far into a text, against recomputing the whole text, and after a known prompt.

    python benchmarks/generation.py [--tokens 220] [--rounds 7] [--width 64] [--vocabulary 1000]

A causal Transformer of the zoo (two layers, context 256) and an LSTM language model, untrained, for nothing here
depends on what they say. A user of stock tf.lite invokes the whole model for each token, at its full length: that is
the other column, the same weights converted without --task. All on one thread of this machine's ai-edge-litert, in
turns; figures are medians over the rounds. Limits: token 200 within 1.2× of token 20, and no invocation at all for the
first token after a prompt that is known; exit code 1 where one does not hold.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from edgewright_runtime.bundle import Bundle
from edgewright_runtime.engines import Engine
from edgewright_runtime.generation.generate import read_prompt
from edgewright_runtime.generation.prompts import Prompts
from edgewright_runtime.generation.stepper import Stepper
from edgewright_runtime.model import load_model

EARLY, LATE, AROUND = 20, 200, 8  # tokens, and how many beside each count for it
CONTEXT = 256
LIMIT = 1.2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=220)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=1000)
    parser.add_argument("--models", default="gpt,lstm-lm")
    parser.add_argument("--recipes", default="float32,int8-fast")
    arguments = parser.parse_args()
    holds = True
    print("| model | recipe | bytes | token 20, µs | token 200, µs | ratio | whole model again, µs | per token |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in arguments.models.split(","):
            for recipe in arguments.recipes.split(","):
                steps, whole = _bundles(folder, model, recipe, arguments.width, arguments.vocabulary)
                row, good = _measure(folder, steps, whole, arguments)
                print(f"| {model} | {recipe} | {row} |", flush=True)
                holds &= good
    return 0 if holds else 1


def _bundles(folder: Path, name: str, recipe: str, width: int, vocabulary: int) -> tuple[Bundle, Bundle]:
    """One that takes a token, one that takes the whole text."""
    import keras

    from edgewright_converter.language.zoo.causal import gpt, lstm_lm
    from edgewright_converter.pipeline import convert

    keras.utils.set_random_seed(0)
    make = {"gpt": gpt, "lstm-lm": lstm_lm}[name]
    model = make(vocabulary=vocabulary, length=CONTEXT, width=width, depth=2)
    paths = []
    for task in ("generate", None):
        paths.append(folder / f"{name}-{recipe}-{task}.ewb")
        convert(model, recipe=recipe, task=task, output=paths[-1])
    return Bundle.open(paths[0]), Bundle.open(paths[1])


def _measure(folder: Path, steps: Bundle, whole: Bundle, arguments: Any) -> tuple[str, bool]:
    early: list[float] = []
    late: list[float] = []
    again: list[float] = []
    ratios: list[float] = []
    rng = np.random.default_rng(0)
    ids = rng.integers(4, arguments.vocabulary, arguments.tokens).tolist()
    with load_model(steps) as engine, load_model(whole) as other:
        stepper = Stepper(steps, engine)
        row = np.zeros(other.inputs[0].shape, other.inputs[0].dtype)
        for _ in range(arguments.rounds + 1):
            stepper.begin()
            took = []
            for index in ids:
                began = perf_counter_ns()
                stepper.read([index])
                stepper.log_probabilities()
                took.append((perf_counter_ns() - began) / 1000)
            early.append(_around(took, EARLY))
            late.append(_around(took, LATE))
            ratios.append(late[-1] / early[-1])
            for place in range(LATE - 2, LATE + 3):
                row[0, :place] = ids[:place]
                began = perf_counter_ns()
                other.invoke([row])
                again.append((perf_counter_ns() - began) / 1000)
        known = _first_of_known(folder, steps, engine, ids[:100])
    ratio = median(ratios[1:])  # the first round warms up
    token, recomputed = median(late[1:]), median(again[5:])
    cells = (
        f"{steps.path.stat().st_size:,}",
        f"{median(early[1:]):.0f}",
        f"{token:.0f}",
        f"{ratio:.2f}×",
        f"{recomputed:.0f}",
        f"1/{recomputed / token:.0f}",
    )
    if known:
        print(f"A known prompt took {known} invocations for its first token, expected none.", file=sys.stderr)
    return " | ".join(cells), ratio <= LIMIT and known == 0


def _around(took: list[float], place: int) -> float:
    return median(took[place - 1 - AROUND : place + AROUND])


def _first_of_known(folder: Path, bundle: Bundle, engine: Engine, ids: list[int]) -> int:
    """How often the model is invoked until the first token after a prompt that was read before."""
    prompts = Prompts(folder / "prompts", bundle.id)
    read_prompt(Stepper(bundle, engine), ids, prompts)
    stepper = Stepper(bundle, engine)
    read_prompt(stepper, ids, prompts)
    stepper.log_probabilities()
    return stepper.steps


if __name__ == "__main__":
    sys.exit(main())
