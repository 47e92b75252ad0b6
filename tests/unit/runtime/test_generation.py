"""Token by token: the state, what is chosen, where a text ends, what is kept, and what a text costs in nats."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.speaking_models import CONTEXT, LETTERS, SIZE, SPECIAL, oracle, speaking_bundle, table, tokenizer

from edgewright_runtime.__main__ import execute
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.engines import Engine
from edgewright_runtime.errors import InputError
from edgewright_runtime.generation.generate import Limits, generate
from edgewright_runtime.generation.prompts import Prompts
from edgewright_runtime.generation.sampling import Sampler, Sampling
from edgewright_runtime.generation.scoring import score_text
from edgewright_runtime.generation.stepper import Stepper
from edgewright_runtime.model import load_model
from edgewright_runtime.text import Tokenizer
from edgewright_runtime.text.words import Words

ROWS = table()
NEVER = [SPECIAL[name] for name in ("pad", "unknown", "begin")]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speaking_bundle(tmp_path_factory.mktemp("speaker") / "speaker.ewb")


@pytest.fixture(scope="module")
def bundle(path: Path) -> Bundle:
    return Bundle.open(path)


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Iterator[Engine]:
    with load_model(bundle) as engine:
        yield engine


def _likeliest(ids: list[int], count: int) -> list[int]:
    """What numpy would say after these tokens."""
    said: list[int] = []
    while len(said) < count:
        scores = oracle(ROWS, ids + said)
        scores[NEVER] = -np.inf
        said.append(int(scores.argmax()))
    return said


def _text(ids: list[int]) -> str:
    return tokenizer().decode(ids)


def test_steps_answer_as_the_whole_does(bundle: Bundle, engine: Engine) -> None:
    stepper = Stepper(bundle, engine)
    ids = [2, 5, 9, 4, 4, 7]
    for count in range(1, len(ids) + 1):
        stepper.read(ids[count - 1 : count])
        wanted = oracle(ROWS, ids[:count])
        wanted -= np.log(np.exp(wanted - wanted.max()).sum()) + wanted.max()
        np.testing.assert_allclose(stepper.log_probabilities(), wanted, atol=1e-5)
    assert (stepper.position, stepper.steps, stepper.context, stepper.vocabulary) == (6, 6, CONTEXT, SIZE)


def test_a_text_begins_without_the_one_before(bundle: Bundle, engine: Engine) -> None:
    stepper = Stepper(bundle, engine)
    stepper.read([2, 5])
    first = stepper.log_probabilities()
    stepper.read([7, 7])
    stepper.begin()
    stepper.read([2, 5])
    assert np.array_equal(stepper.log_probabilities(), first)


def test_a_saved_place_is_the_same_after_another_text(bundle: Bundle, engine: Engine) -> None:
    stepper = Stepper(bundle, engine)
    stepper.read([2, 5, 6])
    saved = stepper.save()
    stepper.read([8])
    wanted = stepper.log_probabilities()
    stepper.begin()
    stepper.read([2, 9, 9, 9, 9])
    stepper.restore(saved)
    assert stepper.position == 3
    stepper.read([8])
    assert np.array_equal(stepper.log_probabilities(), wanted)


def test_a_full_context_is_a_sentence(bundle: Bundle, engine: Engine) -> None:
    stepper = Stepper(bundle, engine)
    stepper.read([4] * CONTEXT)
    with pytest.raises(InputError, match=f"looks back on {CONTEXT} tokens"):
        stepper.read([4])


def test_the_likeliest_tokens_come(bundle: Bundle, engine: Engine) -> None:
    told: list[tuple[int, str]] = []
    tell = lambda token, text: told.append((token, text))  # noqa: E731
    answer = generate(bundle, engine, "ab", Sampling(), Limits(6), tell)
    wanted = _likeliest([SPECIAL["begin"], *tokenizer().ids("ab")], 6)
    assert answer["tokens"] == wanted
    assert answer["text"] == _text(wanted) == "".join(text for _, text in told)
    assert [token for token, _ in told] == wanted
    assert (answer["stopped"], answer["prompt_tokens"], answer["cached_tokens"]) == ("length", 3, 0)
    assert len(answer["token_ns"]) == 6


def test_the_end_token_ends(tmp_path: Path) -> None:
    rows = table()
    rows[:, SPECIAL["end"]] = 50
    other = Bundle.open(_bundle_of(tmp_path, rows))
    with load_model(other) as engine:
        answer = generate(other, engine, "ab", Sampling(), Limits(6))
    assert (answer["stopped"], answer["text"], answer["tokens"]) == ("end", "", [])


def test_words_go_on_with_a_space(tmp_path: Path) -> None:
    from unit import speaking_models

    spoken = Tokenizer(Words(("[PAD]", "[UNK]", "[BEGIN]", "[END]", *LETTERS), SPECIAL), 8, begin=True, end=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speaking_models, "tokenizer", lambda: spoken)
        other = Bundle.open(speaking_bundle(tmp_path / "words.ewb"))
    with load_model(other) as engine:
        after, alone = (generate(other, engine, prompt, Sampling(), Limits(3)) for prompt in ("a b", ""))
    assert after["text"] == " " + spoken.decode(after["tokens"])
    assert alone["text"] == spoken.decode(alone["tokens"])


def _bundle_of(folder: Path, rows: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> Path:
    from unit import speaking_models

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speaking_models, "table", lambda seed=0: rows)
        return speaking_bundle(folder / "other.ewb")


def test_a_full_context_ends_the_answer(bundle: Bundle, engine: Engine) -> None:
    answer = generate(bundle, engine, "abc", Sampling(), Limits(100))
    # Half of the context is kept free for the answer, and the last token needs no place in it.
    assert answer["stopped"] == "context"
    assert len(answer["tokens"]) == CONTEXT - 4 + 1


def test_a_long_prompt_keeps_its_end(bundle: Bundle, engine: Engine) -> None:
    answer = generate(bundle, engine, "abcdefghabcdefgh", Sampling(), Limits(3))
    assert (answer["prompt_tokens"], answer["cut_tokens"]) == (CONTEXT - 3, 8)
    assert answer["tokens"] == _likeliest([2, *tokenizer().ids("abcdefgh")], 3)


@pytest.mark.parametrize("where", range(6))
@pytest.mark.parametrize("size", [1, 2, 3])
def test_an_answer_ends_before_a_stop_string(bundle: Bundle, engine: Engine, where: int, size: int) -> None:
    whole = generate(bundle, engine, "ab", Sampling(temperature=2, seed=3), Limits(8))["text"]
    stop = whole[where : where + size]
    told: list[str] = []
    tell = lambda _, text: told.append(text)  # noqa: E731
    answer = generate(bundle, engine, "ab", Sampling(temperature=2, seed=3), Limits(8, (stop, "zzz")), tell)
    assert answer["stopped"] == "stop"
    assert answer["text"] == whole[: whole.find(stop)] == "".join(told)


def test_what_looked_like_a_stop_string_is_said_at_the_end(bundle: Bundle, engine: Engine) -> None:
    whole = generate(bundle, engine, "ab", Sampling(), Limits(5))["text"]
    answer = generate(bundle, engine, "ab", Sampling(), Limits(5, (whole[-2:] + "!",)))
    assert (answer["text"], answer["stopped"]) == (whole, "length")


def test_a_seed_draws_the_same_answer(bundle: Bundle, engine: Engine) -> None:
    def tokens(seed: int) -> list[int]:
        return generate(bundle, engine, "a", Sampling(1.5, seed=seed), Limits(8))["tokens"]  # type: ignore[no-any-return]

    assert tokens(1) == tokens(1)
    assert len({tuple(tokens(seed)) for seed in range(5)}) > 1


def test_no_special_token_is_ever_said(bundle: Bundle, engine: Engine) -> None:
    for seed in range(10):
        assert not set(NEVER) & set(generate(bundle, engine, "", Sampling(50, seed=seed), Limits(8))["tokens"])


def test_draws_follow_the_probabilities() -> None:
    probabilities = np.array([0.5, 0.25, 0.125, 0.125])
    sampler = Sampler(Sampling(1.0, seed=0))
    counts = Counter(sampler.pick(np.log(probabilities)) for _ in range(8000))
    for index, probability in enumerate(probabilities):
        assert abs(counts[index] / 8000 - probability) < 4 * np.sqrt(probability * (1 - probability) / 8000)


@pytest.mark.parametrize(
    ("sampling", "possible"),
    [
        (Sampling(1.0, top_k=1), {0}),
        (Sampling(1.0, top_k=2), {0, 1}),
        (Sampling(1.0, top_p=0.4), {0}),
        (Sampling(1.0, top_p=0.7), {0, 1}),
        (Sampling(1.0, top_p=0.76), {0, 1, 2}),
        (Sampling(0.01), {0}),
        (Sampling(1.0), {0, 1, 2, 3}),
    ],
)
def test_top_k_and_top_p_leave_the_rest_out(sampling: Sampling, possible: set[int]) -> None:
    sampler = Sampler(sampling._replace(seed=0))
    probabilities = np.array([0.5, 0.25, 0.15, 0.1])
    assert {sampler.pick(np.log(probabilities)) for _ in range(300)} == possible


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=20), st.floats(0, 5), st.integers(0, 25), st.floats(0.01, 1))
def test_a_pick_is_never_a_forbidden_one(scores: list[float], heat: float, top_k: int, top_p: float) -> None:
    sampler = Sampler(Sampling(heat, top_k, top_p, seed=0), never=[0])
    assert 0 < sampler.pick(np.array(scores)) < len(scores)


@pytest.mark.parametrize(
    "sampling", [Sampling(-1), Sampling(float("nan")), Sampling(1, -1), Sampling(1, top_p=0), Sampling(1, top_p=1.1)]
)
def test_settings_that_cannot_be_are_a_sentence(sampling: Sampling) -> None:
    with pytest.raises(InputError, match="cannot be: expected"):
        Sampler(sampling)


def _prompts(folder: Path, limit: int = 1_000_000) -> Prompts:
    return Prompts(folder / "prompts", "model", limit)


def test_a_cached_prompt_is_not_computed_again(bundle: Bundle, engine: Engine, tmp_path: Path) -> None:
    first = generate(bundle, engine, "abcab", Sampling(), Limits(1), prompts=_prompts(tmp_path))
    stepped: list[None] = []
    with pytest.MonkeyPatch.context() as patch:
        run = engine.run
        patch.setattr(engine, "run", lambda: (stepped.append(None), run()))
        second = generate(bundle, engine, "abcab", Sampling(), Limits(1), prompts=_prompts(tmp_path))
        assert stepped == []  # not one invocation for the first token
        longer = generate(bundle, engine, "abcabde", Sampling(), Limits(2), prompts=_prompts(tmp_path))
    assert (first["cached_tokens"], second["cached_tokens"], longer["cached_tokens"]) == (0, 6, 6)
    assert len(stepped) == 2 + 1  # the prompt's two new tokens, and the first one of two that were said
    assert second["tokens"] == first["tokens"]
    assert longer["tokens"] == _likeliest([2, *tokenizer().ids("abcabde")], 2)


def test_a_damaged_prompt_is_computed_again(bundle: Bundle, engine: Engine, tmp_path: Path) -> None:
    first = generate(bundle, engine, "abc", Sampling(), Limits(2), prompts=_prompts(tmp_path))
    (file,) = (tmp_path / "prompts").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    again = generate(bundle, engine, "abc", Sampling(), Limits(2), prompts=_prompts(tmp_path))
    assert (again["cached_tokens"], again["tokens"]) == (0, first["tokens"])


def test_the_prompts_take_no_more_than_their_limit(bundle: Bundle, engine: Engine, tmp_path: Path) -> None:
    for letter in LETTERS:
        generate(bundle, engine, letter * 3, Sampling(), Limits(1), prompts=_prompts(tmp_path, 10_000))
    files = list((tmp_path / "prompts").iterdir())
    assert 1 <= len(files) < len(LETTERS)
    assert sum(file.stat().st_size for file in files) <= 10_000


@pytest.mark.parametrize("text", ["ab", "abcdefgh", "abcdefgh .é" * 5, "abzab"])
def test_a_text_costs_what_its_tokens_do(bundle: Bundle, engine: Engine, text: str) -> None:
    ids = [SPECIAL["begin"], *tokenizer().ids(text), SPECIAL["end"]]
    found = score_text(Stepper(bundle, engine), tokenizer(), text)
    nats = 0.0
    start = 0
    for place in range(1, len(ids)):
        if place - start > CONTEXT:
            start = place - 1 - CONTEXT // 2
        scores = oracle(ROWS, ids[start:place]).astype(np.float64)
        nats -= scores[ids[place]] - np.log(np.exp(scores).sum())
    assert found.nats == pytest.approx(nats, rel=1e-5)
    assert (found.tokens, found.unknown) == (len(ids) - 1, text.count("z"))
    assert found.size_bytes == len(text.encode())


def test_the_command_streams_its_tokens(capfd: pytest.CaptureFixture[str], path: Path) -> None:
    assert execute(["run", str(path), "--text", "ab", "--stream", "--max-tokens=4"]) == 0
    out, err = capfd.readouterr()
    document = json.loads(out)
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert document["tokens"] == [line["token"] for line in lines] == _likeliest([2, 4, 5], 4)
    assert document["text"] == "".join(line["text"] for line in lines)


def test_what_is_asked_goes_before_what_the_task_says(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = speaking_bundle(tmp_path / "a.ewb", b'{"kind":"generate","options":{"max_tokens":3}}\n')
    assert execute(["run", str(path), "--text", "ab"]) == 0
    assert len(json.loads(capfd.readouterr().out)["tokens"]) == 3
    assert execute(["run", str(path), "--text", "ab", "--max-tokens=5"]) == 0
    assert len(json.loads(capfd.readouterr().out)["tokens"]) == 5


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--temperature=-1"], "a number from 0"),
        (["--beams=2"], "has no option 'beams'"),
        (["--max-tokens=0"], "a whole number from 1"),
        (["--top-p=0"], "cannot be"),
    ],
)
def test_a_wrong_option_is_a_sentence(
    capfd: pytest.CaptureFixture[str], path: Path, arguments: list[str], reason: str
) -> None:
    assert execute(["run", str(path), "--text", "ab", *arguments]) == InputError.exit_code
    assert reason in json.loads(capfd.readouterr().out)["message"]
