"""One data set in Keras, as a flatbuffer here, and on devices of each kind: the same answers everywhere."""

import random
import sys
from contextlib import closing
from pathlib import Path, PurePosixPath

import pytest
from e2e.serial_line import serial_line, shell_on
from e2e.ssh_server import HAS_OPENSSH, openssh_server
from unit.models import LABELS, WORDS, tiny_bundle

from edgewright.errors import InputError
from edgewright.evaluate import FLATBUFFER, KERAS, Evaluation, evaluate
from edgewright.remote import Remote
from edgewright.scores import to_markdown
from edgewright.transports import LocalTransport
from edgewright.transports.serial import SerialTransport
from edgewright.transports.serial_address import SerialAddress
from edgewright.transports.ssh import SshTransport
from edgewright_converter.language.metrics import Modelling

SAMPLES = 120


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    Remote("device", LocalTransport(tmp_path / "device"), sys.executable).install_runtime()
    return tmp_path / "device"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Sentences of the words that the tiny model knows, and of some that it does not, some far too long for it."""
    draw = random.Random(0)
    words = [*WORDS, "unbekannt", "🏳️‍🌈", "വെളിച്ചം"]
    rows = [f"{' '.join(draw.choices(words, k=draw.randint(1, 30)))},{draw.choice(LABELS)}" for _ in range(SAMPLES)]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    return path


def _holds(found: Evaluation, name: str) -> None:
    (agreement,) = found.agreements
    assert (agreement.samples, agreement.unequal_answers, agreement.unequal_inputs) == (SAMPLES, 0, 0)
    assert found.scores[name].to_dict() == found.scores[FLATBUFFER].to_dict()
    assert 0 < found.scores[name].accuracy.value < 1


@pytest.mark.ssh
@pytest.mark.skipif(not HAS_OPENSSH, reason="there is no sshd")
def test_over_ssh(home: Path, data: Path, tmp_path: Path) -> None:
    with openssh_server(tmp_path / "server") as server:
        transport = SshTransport(server.address(home), name="kitchen", identity=server.client_key)
        with Remote("kitchen", transport, sys.executable) as kitchen:
            _holds(evaluate(tiny_bundle(tmp_path / "tiny.ewb"), data=data, devices=[kitchen]), "kitchen")


@pytest.mark.serial
def test_over_a_serial_line(home: Path, data: Path, tmp_path: Path) -> None:
    with serial_line() as line, shell_on(line, tmp_path):
        address = SerialAddress(str(line.port), max_baud=115_200, home=PurePosixPath(home))
        with closing(SerialTransport(address)) as transport:
            attic = Remote("attic", transport, sys.executable)
            _holds(evaluate(tiny_bundle(tmp_path / "tiny.ewb"), data=data, devices=[attic]), "attic")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["float32", "int8"])
def test_keras_the_flatbuffer_and_a_device(home: Path, data: Path, tmp_path: Path, recipe: str) -> None:
    """An untrained model, and windows over long texts whose answers are averaged."""
    import keras

    from edgewright_converter.language.data import read
    from edgewright_converter.language.tokenization import train_tokenizer
    from edgewright_converter.pipeline import convert

    tokenizer = train_tokenizer(read(data).texts, kind="words", size=14, max_length=8, pooling="mean")
    keras.utils.set_random_seed(1)
    tokens = keras.Input((8,), dtype="int32", name="tokens")
    mean = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(tokenizer.size, 8)(tokens))
    model = keras.Model(tokens, keras.layers.Dense(3, activation="softmax", name="label")(mean))
    model.save(tmp_path / "model.keras")
    bundle = tmp_path / "model.ewb"
    source = str(tmp_path / "model.keras")
    convert(source, data=data, recipe=recipe, output=bundle, tokenizer=tokenizer, labels=LABELS)
    kitchen = Remote("kitchen", LocalTransport(home), sys.executable)
    found = evaluate(bundle, data=data, keras=source, devices=[kitchen])
    assert list(found.scores) == [KERAS, FLATBUFFER, "kitchen"]
    in_keras, on_device = found.agreements
    assert (on_device.unequal_answers, on_device.unequal_inputs, on_device.max_difference) == (0, 0, 0)
    if recipe == "float32":
        assert in_keras.unequal_answers == 0
        assert in_keras.max_difference < 1e-5
    else:
        assert in_keras.max_difference < 0.05


@pytest.mark.slow
def test_how_probable_texts_are_here_and_on_a_device(home: Path, tmp_path: Path) -> None:
    """An untrained language model is as surprised by each token as by any other: about ln(vocabulary) nats."""
    import keras

    from edgewright_converter.language.tokenization import train_tokenizer
    from edgewright_converter.language.zoo import build
    from edgewright_converter.pipeline import convert

    texts = [*(" ".join(random.Random(seed).choices(WORDS, k=3 + seed)) for seed in range(12)), "a", "വെളിച്ചം on"]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    tokenizer = train_tokenizer(texts, kind="characters", size=60, max_length=16, special=("begin", "end"))
    keras.utils.set_random_seed(1)
    model = build("gpt", vocabulary=tokenizer.size, length=16, heads={}, width=16, depth=1)
    model.save(tmp_path / "gpt.keras")
    convert(tmp_path / "gpt.keras", output=tmp_path / "gpt.ewb", tokenizer=tokenizer, task="generate")
    kitchen = Remote("kitchen", LocalTransport(home), sys.executable)
    found = evaluate(tmp_path / "gpt.ewb", data=tmp_path / "texts.txt", devices=[kitchen])
    (agreement,) = found.agreements
    assert (agreement.samples, agreement.unequal_answers, agreement.unequal_inputs) == (14, 0, 0)
    scores = found.scores["kitchen"]
    assert isinstance(scores, Modelling)
    assert scores.bytes == sum(len(text.encode()) for text in texts)
    assert 0.8 * tokenizer.size < scores.perplexity.value < 1.3 * tokenizer.size
    assert scores.perplexity.low <= scores.perplexity.value <= scores.perplexity.high
    assert "| bits per byte |" in to_markdown(found)
    with pytest.raises(InputError, match="leave --keras out"):
        evaluate(tmp_path / "gpt.ewb", data=tmp_path / "texts.txt", keras=tmp_path / "gpt.keras")
