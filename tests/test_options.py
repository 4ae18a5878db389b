"""Options: what flags say, which of flag, file and target wins, what contradicts, and one declaration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, get_type_hints

import pytest
from conftest import SETTINGS, write_samples
from pydantic import BaseModel

from edgepack import options, plan, resources
from edgepack.errors import EdgepackError, PlanError, TargetError
from edgepack.options import BuildOptions, CompressionOptions, Pruning

PI = (resources.targets() / "raspberry-pi-5.toml").read_text(encoding="utf-8")


def _parsed(**given: object) -> BuildOptions:
    return options.parse({"model": "net.py:net", **given})


# What is pruned


@pytest.mark.parametrize(
    ("text", "kind", "ratio"),
    [
        ("0.3", "channels", 0.3),
        (".5", "channels", 0.5),
        ("auto", "channels", None),
        ("2:4", "2:4", 0.5),
        ("weights:0.6", "weights", 0.6),
    ],
)
def test_pruning_is_a_share_of_channels_or_weights(text: str, kind: options.PruneKind, ratio: float) -> None:
    found = options.parse_pruning(text)
    assert found == Pruning(kind, ratio)
    assert options.parse_pruning(str(found)) == found


def test_no_pruning() -> None:
    assert options.parse_pruning("") is None
    assert CompressionOptions().pruning is None


@pytest.mark.parametrize("text", ["0", "1", "1.5", "0.0", "weights:0", "weights:1"])
def test_a_share_lies_between_nothing_and_all(text: str) -> None:
    with pytest.raises(PlanError, match="a share lies between 0 and 1, both excluded") as raised:
        _parsed(prune=text)
    assert raised.value.exit_code == 3


@pytest.mark.parametrize("text", ["half", "-0.3", "30%", "0,3", "4:2", "channels:0.3", "weights:auto", "nan"])
def test_what_is_no_pruning(text: str) -> None:
    told = r"is not understood: write a share such as 0\.3, auto, 2:4"
    with pytest.raises(PlanError, match=told) as raised:
        _parsed(prune=text)
    assert f"'{text}'" in str(raised.value)


# What flags say


def test_flags_become_a_goal() -> None:
    found = _parsed(max_drop=1.5, scheme="w8a8", prune="0.3", recover=None, seed=7)
    assert (found.max_drop, found.forced, found.seed, found.recover) == (1.5, "w8a8", 7, 0)
    assert "recover" not in found.given
    for scheme in ("", "auto"):
        assert _parsed(scheme=scheme).forced is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"scheme": "int8"}, "there is no scheme 'int8': auto or one of fp32, fp16, w8a8"),
        ({"scheme": "W8A8"}, "there is no scheme 'W8A8'"),
        ({"max_drop": -1}, "'max_drop' input should be greater than or equal to 0"),
        ({"max_drop": 101}, "'max_drop' input should be less than or equal to 100"),
        ({"min_agreement": 100.5}, "'min_agreement' input should be less than or equal to 100"),
        ({"recover": -3}, "'recover' input should be greater than or equal to 0"),
        ({"search_budget": 0}, "'search_budget' input should be greater than 0"),
    ],
)
def test_flags_that_make_no_sense(flags: dict[str, float | str | None], words: str) -> None:
    with pytest.raises(PlanError) as raised:
        _parsed(**flags)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            CompressionOptions(scheme="w8a8", max_drop=0, min_agreement=100),
            "--scheme w8a8 with --max-drop 0 and --min-agreement 100 asks for int8 that is float",
        ),
        (
            CompressionOptions(recover=5, search_budget=2, prune="0.3"),
            "--recover 5 is longer than --search-budget 2",
        ),
        (
            CompressionOptions(recover=5, scheme="fp16"),
            "--recover has nothing to recover: fp16 without pruning",
        ),
    ],
)
def test_a_goal_that_contradicts_itself(given: CompressionOptions, words: str) -> None:
    with pytest.raises(PlanError) as raised:
        options.check(given)
    assert words in str(raised.value)
    assert raised.value.exit_code == 3


@pytest.mark.parametrize(
    "given",
    [
        CompressionOptions(scheme="fp16", max_drop=0, min_agreement=100),
        CompressionOptions(max_drop=0, min_agreement=100),
        CompressionOptions(recover=5, search_budget=5, prune="0.3"),
        CompressionOptions(recover=5, scheme="fp16", prune="0.3"),
        CompressionOptions(recover=5, scheme="p4"),
    ],
)
def test_a_goal_that_holds_together(given: CompressionOptions) -> None:
    options.check(given)


# Which one wins


def test_over_takes_what_is_said_above_even_zero() -> None:
    below = CompressionOptions(max_drop=2, min_agreement=90, scheme="w8a8", prune="0.5", recover=3, seed=9)
    assert CompressionOptions().over(below) == below
    above = CompressionOptions(max_drop=0, scheme="auto", recover=0, seed=0)
    merged = above.over(below)
    assert (merged.max_drop, merged.scheme, merged.recover, merged.seed) == (0, "auto", 0, 0)
    assert (merged.min_agreement, merged.prune) == (90, "0.5")


@pytest.fixture
def settled(here: Path) -> Path:
    """A model whose `edgepack.toml` and whose device say something of compression each."""
    write_samples(here)
    text = SETTINGS.replace('["raspberry-pi-5"]', '["./my.toml"]')
    (here / "edgepack.toml").write_text(text + "[compress]\nmax_drop = 2.0\nscheme = 'w8a8'\n")
    own = "\n[compress]\nmax_drop = 3.0\nscheme = 'fp32'\nsearch_budget = 4\nmin_agreement = 90\n"
    (here / "my.toml").write_text(PI + own)
    return here


def _goal(**given: float | str | None) -> CompressionOptions:
    choices = _parsed(**given)
    return plan.resolve(choices).targets[0].goal


def test_a_flag_beats_the_file_the_file_the_target_and_the_target_the_default(settled: Path) -> None:
    found = _goal(max_drop=1)
    assert (found.max_drop, found.scheme, found.search_budget) == (1, "w8a8", 4)
    assert (found.min_agreement, found.recover, found.seed) == (90, 0, 0)
    assert _goal().max_drop == 2
    assert _goal(scheme="auto").forced is None
    (settled / "edgepack.toml").write_text(SETTINGS.replace('["raspberry-pi-5"]', '["./my.toml"]'))
    assert (_goal().max_drop, _goal().scheme) == (3, "fp32")
    (settled / "my.toml").write_text(PI)
    found = _goal()
    assert (found.max_drop, found.scheme, found.min_agreement, found.prune) == (None, "auto", 95, "")


def test_a_contradiction_between_flag_and_file_is_refused_too(settled: Path) -> None:
    with pytest.raises(PlanError, match="asks for int8 that is float"):
        _goal(max_drop=0, min_agreement=100)


@pytest.mark.parametrize(
    ("name", "kind", "exit_code"), [("edgepack.toml", PlanError, 3), ("my.toml", TargetError, 2)]
)
@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("max_drop", "max_dorp", "unknown key 'compress.max_dorp': did you mean 'max_drop'?"),
        ("scheme = '", "scheme = 'x", "there is no scheme 'x"),
    ],
)
def test_a_mistake_in_a_table_of_compression(
    settled: Path, name: str, kind: type[EdgepackError], exit_code: int, before: str, after: str, words: str
) -> None:
    path = settled / name
    head, table = path.read_text().split("[compress]")
    path.write_text(f"{head}[compress]{table.replace(before, after)}")
    with pytest.raises(kind) as raised:
        _goal()
    assert words in str(raised.value)
    assert raised.value.exit_code == exit_code


def test_a_scheme_by_hand_is_the_only_rung(settled: Path) -> None:
    for scheme in ("w8a8", "fp16"):
        choices = BuildOptions(model="net.py:net", scheme=scheme)
        steps = plan.resolve(choices).targets[0].steps
        assert [(step.format, step.scheme) for step in steps] == [("onnx", scheme)]


def test_pruned_single_weights_are_stored_without_their_zeros_first(here: Path) -> None:
    choices = BuildOptions(
        model="net.py:net", targets=("iphone-15",), formats=("coreml",), inputs=("tensor:1x8",),
        prune="weights:0.5",
    )  # fmt: skip
    schemes = [step.scheme for step in plan.resolve(choices).targets[0].steps]
    assert schemes[0].startswith("sparse")
    assert plan.resolve(choices).targets[0].goal.pruning == Pruning("weights", 0.5)
    channels = BuildOptions(
        model="net.py:net", targets=("iphone-15",), formats=("coreml",), inputs=("tensor:1x8",),
        prune="0.5",
    )  # fmt: skip
    assert [step.scheme for step in plan.resolve(channels).targets[0].steps] == ["p6", "w8", "fp16"]


# One declaration


def _like_the_field(kind: object) -> object:
    """The type of a keyword for a field of type `kind`: sequences of any kind are welcome."""
    return Sequence[str] if kind == tuple[str, ...] else kind


def test_every_option_is_a_keyword_of_the_same_type() -> None:
    fields = {name: each.annotation for name, each in BuildOptions.model_fields.items() if name != "model"}
    assert get_type_hints(options.BuildKeywords) == {
        name: _like_the_field(kind) for name, kind in fields.items()
    }


def test_every_option_has_a_description_for_its_flag() -> None:
    for name, field in BuildOptions.model_fields.items():
        (flag,) = (each for each in field.metadata if isinstance(each, options.Flag))
        assert flag.help.endswith("."), name
        assert flag.metavar or field.annotation is bool, name


Tables: TypeAlias = dict[str, type[BaseModel]]
TABLES: Tables = {"model": options.ModelOptions, "data": options.DataOptions, "build": options.BundleOptions}


def test_every_key_of_a_table_is_an_option_with_the_same_default() -> None:
    tables: Tables = {**TABLES, "compress": CompressionOptions}
    for name, table in tables.items():
        keys = options.Settings.model_fields[name].annotation
        assert isinstance(keys, type)
        assert issubclass(keys, table)
        for key, field in table.model_fields.items():
            option = BuildOptions.model_fields[key]
            assert (option.annotation, option.default) == (field.annotation, field.default), key


VALUES: dict[str, object] = {
    "targets": ["raspberry-pi-4"],
    "formats": ["onnx"],
    "out": "o",
    "emulator": False,
    "bake_preprocessing": True,
    "bake_argmax": True,
    "weights": "w.pt",
    "calib": "c.npz",
    "eval": "e.npz",
    "max_drop": 1.5,
    "min_agreement": 90.0,
    "scheme": "w8a8",
    "prune": "0.3",
    "recover": 2.0,
    "search_budget": 5.0,
    "seed": 3,
}


def test_every_key_is_read_from_the_file_and_overridden_by_a_keyword(tmp_path: Path) -> None:
    tables: Tables = {**TABLES, "compress": CompressionOptions}
    assert set(VALUES) == {key for table in tables.values() for key in table.model_fields}
    path = tmp_path / options.SETTINGS_FILE
    for name, table in tables.items():
        for key in table.model_fields:
            path.write_text(f"[{name}]\n{key} = {json.dumps(VALUES[key])}\n")
            filed = options.load_settings(path).options("net.py:net", Path())
            assert set(filed.given) == {"model", key}
            value = getattr(filed, key)
            assert (list(value) if isinstance(value, tuple) else value) == VALUES[key]
            default = BuildOptions.model_fields[key].default
            if default not in (None, "", ()):
                assert getattr(_parsed(**{key: default}).over(filed), key) == default


@pytest.mark.parametrize("empty", [None, "", (), []])
def test_none_and_empty_are_not_given(empty: object) -> None:
    assert _parsed(targets=empty, out=empty, max_drop=empty).given == {"model": "net.py:net"}


def test_an_unknown_keyword_is_refused_with_the_nearest() -> None:
    with pytest.raises(PlanError, match=r"unknown key 'max_dorp': did you mean 'max_drop'\?"):
        _parsed(max_dorp=1)


def test_the_budget_s_agreement_is_no_given_option() -> None:
    settled = CompressionOptions(max_drop=1).with_budget(95)
    assert (settled.min_agreement, settled.given) == (95, {"max_drop": 1})
    own = CompressionOptions(min_agreement=95)
    assert own.with_budget(90) is own
