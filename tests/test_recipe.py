"""Recipes: a scheme for each layer, as data that comes back from the file it was written to."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from edgepack import plan, recipe
from edgepack.errors import PlanError
from edgepack.options import BuildOptions, Pruning
from edgepack.recipe import ROOT, Recipe, RecipeFile

FULL: dict[str, Any] = {
    "ranges": "percentile",
    "equalize": "clamped",
    "correct_bias": True,
    "gptq": True,
}


@pytest.mark.parametrize(
    ("path", "scheme"),
    [
        ("features.0", "w8a8"),
        ("features.3", "fp32"),
        ("features.3.conv.0", "fp32"),
        ("features.3.conv.1", "fp16"),
        ("features.30", "w8a8"),
        ("feat", "w8a8"),
        ("head", "w4"),
        (ROOT, "w8a8"),
    ],
)
def test_the_nearest_path_at_or_above_a_layer_counts(path: str, scheme: str) -> None:
    given = Recipe("w8a8", {"features.3": "fp32", "features.3.conv.1": "fp16", "head": "w4"})
    assert given.of(path) == scheme


def test_a_layer_that_is_the_whole_model_can_be_named() -> None:
    assert Recipe("w8a8", {ROOT: "fp32"}).of(ROOT) == "fp32"
    assert Recipe("fp16").is_float
    assert not Recipe("p6").is_float


def test_recipes_come_back_from_the_file(tmp_path: Path) -> None:
    given = {
        "onnx": Recipe("w8a8", {"stem": "fp32", 'a "quoted" one': "fp16"}, **FULL),
        "coreml": Recipe("p6"),
    }
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.to_toml(given, "weights:0.6", 40, 3))
    book = recipe.read(path)
    assert {name: book.of(name) for name in given} == given
    assert (book.prune, book.recover_steps, book.seed) == ("weights:0.6", 40, 3)
    assert book.of("executorch") is None
    assert recipe.to_toml(given, "weights:0.6", 40, 3) == path.read_text()


def test_every_part_of_a_recipe_is_told_in_the_file() -> None:
    assert {each.name for each in fields(Recipe)} == {"scheme", "layers", *FULL}
    plain = Recipe("w8a8")
    assert all(getattr(plain, key) != value for key, value in FULL.items())


def test_a_file_of_before_says_feedback_where_gptq_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("[[recipe]]\nscheme = 'p4'\nfeedback = true\n")
    assert recipe.read(path).of("coreml") == Recipe("p4", gptq=True)


def test_a_recipe_without_a_format_serves_those_that_have_none_of_their_own() -> None:
    book = RecipeFile.model_validate({"recipe": [{"scheme": "w8a8"}, {"format": "coreml", "scheme": "p4"}]})
    for name, scheme in (("onnx", "w8a8"), ("executorch", "w8a8"), ("coreml", "p4")):
        found = book.of(name)
        assert found is not None
        assert found.scheme == scheme


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "recipe"),
        ("recipe = []", "'recipe'"),
        ("[[recipe]]\nformat = 'onnx'", "'recipe.0.scheme'"),
        (
            "[[recipe]]\nscheme = 'w8a7'",
            "'recipe.0.scheme' there is no scheme 'w8a7': it is one of fp32",
        ),
        ("[[recipe]]\nshceme = 'w8a8'", "did you mean 'scheme'?"),
        ("[[recipe]]\nscheme = 'w8a8'\nequalize = 2", "'recipe.0.equalize'"),
        ("[[recipe]]\nscheme = 'w8a8'\nranges = 'mse'", "'recipe.0.ranges'"),
        ("[[recipe]]\nscheme = 'w8a8'\n[recipe.layers]\nstem = 'float'", "stem"),
        ("recover_steps = -1\n[[recipe]]\nscheme = 'w8a8'", "'recover_steps'"),
        ("schema_number = 3\n[[recipe]]\nscheme = 'w8a8'", "'schema_number'"),
        ("[[recipe]", "is not valid TOML"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(PlanError) as raised:
        recipe.read(path)
    assert "mine.toml" in str(raised.value)
    assert words in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="there is no recipe"):
        recipe.read(tmp_path / "gone.toml")


# In a plan


def _plan(here: Path, text: str, **given: object) -> plan.Plan:
    (here / "r.toml").write_text(text)
    choices = {"model": "net.py:net", "targets": ("iphone-15",), "inputs": ("tensor:1x8",)}
    choices["recipe"] = "r.toml"
    return plan.resolve(BuildOptions(**{**choices, **given}))  # type: ignore[arg-type]


def test_a_recipe_is_the_plan_s_only_rung_of_its_format(here: Path) -> None:
    text = "[[recipe]]\nformat = 'coreml'\nscheme = 'p4'\n[recipe.layers]\nfirst = 'fp16'\n"
    (wanted,) = _plan(here, text).targets
    (step,) = wanted.steps
    assert (step.format, step.scheme, step.recipe) == ("coreml", "p4", Recipe("p4", {"first": "fp16"}))
    assert step.why.endswith("by the recipe")
    assert {each.what: each.why for each in wanted.omitted}["onnx"] == "the recipe says nothing of it"


def test_a_recipe_that_needs_samples_or_another_format_leaves_nothing(here: Path) -> None:
    with pytest.raises(PlanError, match=r"nothing is left .*coreml w8a8: no --calib"):
        _plan(here, "[[recipe]]\nformat = 'coreml'\nscheme = 'w8a8'\n")
    with pytest.raises(PlanError, match=r"nothing is left .*onnx p4: onnx carries"):
        _plan(here, "[[recipe]]\nformat = 'onnx'\nscheme = 'p4'\n")


@pytest.mark.parametrize(("flag", "value"), [("scheme", "w8a8"), ("prune", "0.3"), ("recover", 2.0)])
def test_a_flag_beside_a_recipe_that_settles_the_same(here: Path, flag: str, value: object) -> None:
    with pytest.raises(PlanError, match=f"--recipe and --{flag} exclude each other") as raised:
        _plan(here, "[[recipe]]\nscheme = 'fp32'\n", **{flag: value})
    assert "r.toml" in raised.value.hint


def test_what_a_recipe_prunes_is_checked_before_the_build(here: Path) -> None:
    found = _plan(here, "prune = '0.3'\n[[recipe]]\nscheme = 'fp16'\n", formats=("coreml",))
    assert found.pruning(found.targets[0]) == Pruning("channels", 0.3)
    with pytest.raises(PlanError, match=r"r\.toml: prune = 'half' is not understood"):
        _plan(here, "prune = 'half'\n[[recipe]]\nscheme = 'fp16'\n")


@pytest.mark.parametrize(
    ("device", "text", "words"),
    [
        ("iphone-15", "format = 'onnx'\nscheme = 'fp32'\nlayers = {head = 'p4'}",
         "onnx fp32: layer head in p4: onnx carries fp16, fp32, w8, w8a16, w8a8, w8d"),
        ("raspberry-pi-5", "scheme = 'fp32'\nlayers = {a = 'fp32', head = 'sparse'}",
         "executorch fp32: layer head in sparse: executorch carries fp16, fp32, w4d, w8a8, w8d"),
        ("iphone-12", "format = 'coreml'\nscheme = 'p6'\nlayers = {head = 'w4'}",
         "layer head in w4: Core ML reads w4 from iOS 18 on, and iphone-12 begins at iOS 16"),
        ("iphone-15", "format = 'executorch'\nscheme = 'w8'\nlayers = {head = 'fp16'}",
         "layer head in fp16: the Core ML part of a .pte has one scheme for all layers"),
        ("jetson-orin-nano", "format = 'onnx'\nscheme = 'fp32'\nlayers = {head = 'w8a16'}",
         "layer head in w8a16: TensorRT computes in 8-bit integers"),
        ("raspberry-pi-5", "format = 'onnx'\nscheme = 'fp32'\nlayers = {head = 'w8a8', a = 'fp16'}",
         "onnx fp32: layer head in w8a8: no --calib"),
    ],
)  # fmt: skip
def test_every_scheme_of_a_recipe_is_checked_before_the_build(
    here: Path, device: str, text: str, words: str
) -> None:
    with pytest.raises(PlanError, match="nothing is left to write") as raised:
        _plan(here, f"schema_number = 2\n[[recipe]]\n{text}\n", targets=(device,))
    assert words in str(raised.value)
    assert raised.value.exit_code == 3


def test_weight_only_is_refused_where_xnnpack_has_no_kernels_for_it(here: Path) -> None:
    text = "schema_number = 2\n[[recipe]]\nformat = 'executorch'\nscheme = 'w8'\n"
    with pytest.raises(PlanError, match="no kernels of integer weights and float activations; w8d quantizes"):
        _plan(here, text, targets=("raspberry-pi-5",))


@pytest.mark.parametrize("number", ["", "schema_number = 1\n"])
def test_an_old_recipe_s_dynamic_schemes_are_read_with_a_note(here: Path, number: str) -> None:
    text = f"{number}[[recipe]]\nformat = 'executorch'\nscheme = 'w8'\nlayers = {{head = 'w4', a = 'fp32'}}\n"
    (wanted,) = _plan(here, text, targets=("raspberry-pi-5",)).targets
    assert wanted.steps[0].recipe == Recipe("w8d", {"head": "w4d", "a": "fp32"})
    (note,) = wanted.notes
    assert "executorch: w8 is read as w8d (int8 weights, activations quantized to int8 at run time)" in note
    (phone,) = _plan(here, "[[recipe]]\nformat = 'executorch'\nscheme = 'w8'\n").targets
    assert phone.steps[0].recipe == Recipe("w8"), "Core ML computes with float activations"
    assert phone.notes == ()


def test_a_key_with_an_old_name_is_read_with_a_note(here: Path) -> None:
    text = "[[recipe]]\nformat = 'coreml'\nscheme = 'p4'\nfeedback = true\n"
    (wanted,) = _plan(here, text).targets
    assert wanted.steps[0].recipe == Recipe("p4", gptq=True)
    assert wanted.notes == ("r.toml: the key feedback is called gptq now, and was read as such",)
    assert "schema_number = 2" in recipe.to_toml({"coreml": Recipe("p4", gptq=True)}, "", 0, 0)
