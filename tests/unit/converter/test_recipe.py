import subprocess
import sys
from pathlib import Path

import pytest

from edgewright_converter.errors import RecipeError
from edgewright_converter.passes import PASSES
from edgewright_converter.passes.quantize import MODES, Quantize
from edgewright_converter.recipe import Budgets, Recipe, builtin_recipes, parse_recipe
from edgewright_runtime.errors import InputError

KITCHEN = """\
name = "kitchen"
target = "rpi4"  # the big one

[[passes]]
use = "quantize"
mode = "int8"
border = "int8"

[budget]
latency_ms = 20
size_bytes = 1_000_000
"""


def test_reads_every_key() -> None:
    recipe = parse_recipe(KITCHEN, "kitchen.toml")
    assert recipe == Recipe(
        "kitchen", (Quantize("int8", "int8"),), "rpi4", Budgets(latency_ms=20, memory_mb=None, size_bytes=1_000_000)
    )
    assert recipe.to_dict()["passes"] == [{"use": "quantize", "mode": "int8", "border": "int8", "layers": {}}]


def test_single_layers_are_chosen_in_a_table() -> None:
    text = (
        '[[passes]]\nuse = "quantize"\nmode = "int8"\n[passes.layers]\n"attention_*" = "float32"\nembedding = "int4"\n'
    )
    recipe = parse_recipe(text, "kitchen.toml")
    assert recipe.quantize == Quantize("int8", layers={"attention_*": "float32", "embedding": "int4"})
    assert recipe.to_dict()["passes"][0]["layers"] == {"attention_*": "float32", "embedding": "int4"}


def test_built_in_recipes_cover_every_mode_under_their_own_names() -> None:
    recipes = {name: Recipe.load(name) for name in builtin_recipes()}
    assert set(recipes) == {*MODES, "int8-full", "int8-qat"}
    assert all(recipe.name == name for name, recipe in recipes.items())
    assert {recipe.quantize.mode for recipe in recipes.values()} == set(MODES)
    assert recipes["int8-full"].quantize.border == "int8"


def test_without_a_pass_nothing_is_quantized() -> None:
    assert Recipe("plain").quantize == Quantize("float32")


def test_a_recipe_given_as_such_is_taken_as_it_is() -> None:
    recipe = Recipe("mine", (PASSES["quantize"]("float16"),))
    assert Recipe.load(recipe) is recipe


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('name = "a"\n[[passes]]\nuse = "quantize"\nmod = "int8"\n', 4, "unknown key 'mod': did you mean 'mode'?"),
        ('name = "a"\n\nbudgets = 3\n', 3, "did you mean 'budget'?"),
        ("colour = 3", 1, "unknown key 'colour': known are name, target, passes, budget"),
        ("name = 3", 1, "name must be a string, not 3"),
        ('[[passes]]\nuse = "quantize"\nmode = 8', 3, "mode must be a string"),
        ('[[passes]]\nuse = "quantize"\nmode = "int3"', 3, "mode must be one of"),
        ('[[passes]]\nuse = "quantize"', 2, "mode is missing"),
        ('[[passes]]\nmode = "int8"', 1, "unknown pass None"),
        ('[[passes]]\nuse = "shrink"', 2, "unknown pass 'shrink': known are "),
        ('[[passes]]\nuse = "quantize"\nmode = "float16"\nborder = "int8"', 4, 'goes with mode = "int8"'),
        (
            '[[passes]]\nuse = "quantize"\nmode = "int8"\n[[passes]]\nuse = "quantize"\nmode = "float16"\nborder = "x"',
            7,
            "border must be one of",
        ),
        (
            '# two\n[[passes]]\nuse = "quantize"\nmode = "int8"\n[[passes]]\nuse = "quantize"\nmode = "int8"',
            2,
            "cannot follow",
        ),
        ("passes = 3", 1, "[[passes]]"),
        ("budget = 3", 1, "[budget] table"),
        ("[budget]\n\nlatency_ms = -1", 3, "greater than 0"),
        ("[budget]\nlatency_ms = true", 2, "must be a number"),
        ("[budget]\nsize_bytes = 1.5", 2, "must be a whole number"),
        ("[budget]\nmemory_mb = nan", 2, "greater than 0"),
        ('target = "rpi44"', 1, "did you mean 'rpi4'?"),
        ('name = "../x"', 1, "not usable"),
    ],
)
def test_mistakes_are_told_with_file_and_line(text: str, line: int, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "my/a.toml")
    assert str(caught.value).startswith(f"my/a.toml:{line}: ")
    assert says in str(caught.value)


def test_what_is_no_toml_is_told_with_its_place() -> None:
    with pytest.raises(RecipeError, match=r"my/a.toml: not valid TOML: .*line 2"):
        parse_recipe('name = "a"\nx = \n', "my/a.toml")


def test_the_file_is_the_name_where_none_is_given(tmp_path: Path) -> None:
    path = tmp_path / "garden.toml"
    path.write_text('[[passes]]\nuse = "quantize"\nmode = "int8"\n')
    assert Recipe.load(path).name == "garden"


def test_options_of_a_training_pass_are_read_and_checked() -> None:
    text = """
[[passes]]
use = "qat"
epochs = 3
learning_rate = 1e-4
leave = ["classes", "block_0/*"]
[[passes]]
use = "quantize"
mode = "int4"
"""
    recipe = parse_recipe(text, "a.toml")
    (qat,) = recipe.model_passes
    assert qat == PASSES["qat"](epochs=3, learning_rate=1e-4, leave=("classes", "block_0/*"))
    assert recipe.needs_data
    for wrong, says in [
        ("leave = 3", "a.toml:6: leave must be a list of strings, not 3"),
        ('observer = "mean"', "a.toml:6: observer must be one of moving-average, percentile, mse"),
        ("weights = 5", "a.toml:6: weights must be 4 or 8 bits, not 5"),
        ("frozen_epochs = -1", "a.toml:6: frozen_epochs must be 0 or more"),
    ]:
        with pytest.raises(RecipeError) as caught:
            parse_recipe(text.replace('leave = ["classes", "block_0/*"]', wrong), "a.toml")
        assert str(caught.value).startswith(says)
    with pytest.raises(RecipeError, match="'qat' cannot follow 'quantize'"):
        parse_recipe('[[passes]]\nuse = "quantize"\nmode = "int8"\n[[passes]]\nuse = "qat"', "b.toml")


def test_unknown_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'int8'"):
        Recipe.load("int9")
    with pytest.raises(InputError, match="No such file"):
        Recipe.load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="not UTF-8"):
        Recipe.load(tmp_path / "bytes.toml")


def test_a_mistake_is_found_before_tensorflow_is_imported(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("nmae = 3")
    (tmp_path / "model.py").write_text("def make(): raise SystemExit(9)")
    code = f"""
import sys
from edgewright_converter.errors import RecipeError
from edgewright_converter.pipeline import convert
try:
    convert({str(tmp_path / "model.py")!r} + ":make", recipe={str(tmp_path / "bad.toml")!r})
except RecipeError as error:
    assert ":1: unknown key 'nmae'" in str(error), error
    sys.exit(3 if "tensorflow" in sys.modules or "keras" in sys.modules else 0)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
