"""What a bench feeds to a model: within the model's own range, in its own form."""

from pathlib import Path

import numpy as np
import pytest
from unit.models import TOKENS, WORDS, tiny_bundle

from edgewright_runtime.bundle import Bundle
from edgewright_runtime.errors import InputError
from edgewright_runtime.samples import COUNT, input_samples


def test_golden_samples_are_those_of_the_bundle(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "tiny.ewb"))
    samples = input_samples(bundle)
    assert len(samples) == 3
    assert samples[0][0].tolist() == [[7, 6, 3, 0, 0, 0, 0, 0]]


def test_random_ids_come_from_the_whole_vocabulary_and_no_further(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "tiny.ewb"))
    ids = np.concatenate([sample[0] for sample in input_samples(bundle, "random", seed=1)])
    assert (ids.shape, ids.dtype) == ((COUNT, TOKENS), np.int32)
    assert set(ids.ravel()) == set(range(len(WORDS) + 2))
    again, other = input_samples(bundle, "random", seed=1), input_samples(bundle, "random", seed=2)
    assert np.array_equal(np.concatenate([sample[0] for sample in again]), ids)
    assert not np.array_equal(other[0][0], ids[:1])


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_random_numbers_span_the_range_of_the_golden_ones(tmp_path: Path, kind: str) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "tiny.ewb", kind=kind))
    golden = bundle.golden()[0][0]
    drawn = np.concatenate([sample[0] for sample in input_samples(bundle, "random")])
    assert drawn.dtype == golden.dtype
    assert golden.min() <= drawn.min() < drawn.max() <= golden.max()


def test_real_samples_are_brought_to_the_models_border(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "int8.ewb", kind="int8"))
    np.savez(tmp_path / "data.npz", **{"x.x": np.eye(100, 4, dtype=np.float32)})
    samples = input_samples(bundle, "data", data=tmp_path / "data.npz")
    assert len(samples) == COUNT
    assert (samples[0][0].dtype, samples[0][0].tolist()) == (np.int8, [[17, -3, -3, -3]])  # 1 / 0.05 - 3
    with pytest.raises(InputError, match="for data give a data set"):
        input_samples(bundle, "data")
