"""What is shipped: every target, template and format loads, and they fit each other."""

from __future__ import annotations

import inspect
from importlib import metadata
from typing import get_args

import pytest
from conftest import ROOT

from edgepack import formats, resources, scheme, target, toml
from edgepack.app import template
from edgepack.errors import PlanError
from edgepack.formats import Format
from edgepack.target import Platform

ATTRIBUTES = inspect.get_annotations(Format)
METHODS = {name: each for name, each in vars(Format).items() if inspect.isfunction(each) and name[0] != "_"}

WANTED = {
    *("pixel-8", "galaxy-s23", "android-entry", "iphone-12", "iphone-15", "iphone-16"),
    *("raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5", "raspberry-pi-zero-2w"),
    *("jetson-orin-nano", "jetson-nano"),
}


def test_all_are_there() -> None:
    assert set(target.names()) >= WANTED
    assert formats.names() == ["coreml", "executorch", "onnx", "torchscript"]
    assert "linux-python" in template.names()


# Targets


@pytest.mark.parametrize("name", target.names())
def test_a_target_asks_for_what_there_is(name: str) -> None:
    found = target.load(name)
    assert found.name == name
    for choice in found.formats:
        assert choice.name in formats.names()
        assert set(choice.schemes) <= formats.load(choice.name).SCHEMES
        assert len(set(choice.schemes)) == len(choice.schemes)
        assert choice.provider == "cpu" or choice.name == "onnx"
    assert found.budget.size_mb <= found.budget.memory_mb <= found.memory.total_mb


@pytest.mark.parametrize("name", target.names())
def test_a_target_s_template_runs_on_it(name: str) -> None:
    found = target.load(name)
    if found.template:
        shipped = template.load(found.template)
        assert found.platform in shipped.platforms
        assert set(shipped.formats) & {choice.name for choice in found.formats}
    else:
        assert not [each for each in template.names() if found.platform in template.load(each).platforms]


@pytest.mark.parametrize("name", target.names())
def test_a_target_says_where_its_figures_come_from(name: str) -> None:
    first = (resources.targets() / f"{name}.toml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")


def test_every_platform_has_a_target() -> None:
    assert {target.load(name).platform for name in target.names()} == set(get_args(Platform))


# Templates


@pytest.mark.parametrize("name", template.names())
def test_a_template_names_what_there_is(name: str) -> None:
    found = template.load(name)
    assert found.name == name
    assert set(found.formats) <= set(formats.names())
    assert found.about
    assert found.selftest


@pytest.mark.parametrize("name", template.names())
def test_a_template_s_python_compiles_where_it_stands(name: str) -> None:
    for path in (resources.templates() / name).rglob("*.py"):
        compile(path.read_text(encoding="utf-8"), str(path), "exec")


# Formats: the Protocol is what a module must have


@pytest.mark.parametrize("name", formats.names())
@pytest.mark.parametrize("attribute", sorted(ATTRIBUTES))
def test_a_format_has_the_attributes_of_the_protocol(name: str, attribute: str) -> None:
    value = getattr(formats.load(name), attribute)
    wanted = {"str": str, "tuple[str, ...]": tuple, "frozenset[SchemeName]": frozenset}
    assert isinstance(value, wanted[ATTRIBUTES[attribute]])


@pytest.mark.parametrize("name", formats.names())
@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_format_has_the_functions_of_the_protocol(name: str, method: str) -> None:
    given = inspect.signature(getattr(formats.load(name), method))
    wanted = inspect.signature(METHODS[method])
    assert list(given.parameters.values()) == list(wanted.parameters.values())[1:]
    assert given.return_annotation == wanted.return_annotation


def test_the_protocol_is_what_these_tests_take_it_for() -> None:
    assert set(ATTRIBUTES) == {"SUFFIX", "READS", "SCHEMES", "ABOUT", "EXTRA"}
    assert set(METHODS) == {
        "cannot_export",
        "cannot_run",
        "variant",
        "export",
        "import_runtime",
        "load",
        "describe",
        "cannot_carry",
        "in_blocks",
        "keeps_float",
        "no_gain",
        "evaluator",
    }


@pytest.mark.parametrize("name", formats.names())
def test_a_format_s_facts_hold_together(name: str) -> None:
    module = formats.load(name)
    assert module.SUFFIX in module.READS
    assert all(each.startswith(".") for each in module.READS)
    assert set(scheme.SCHEMES) >= module.SCHEMES
    assert any(scheme.SCHEMES[each].is_float for each in module.SCHEMES)
    assert module.ABOUT
    extras = metadata.metadata("edgepack").get_all("Provides-Extra") or []
    assert not module.EXTRA or module.EXTRA in extras
    facts = formats.facts(name)
    assert (facts["name"], facts["suffix"]) == (name, module.SUFFIX)
    for each in target.names():
        assert isinstance(module.variant(target.load(each)), str)


def test_an_ending_is_read_by_one_format() -> None:
    endings = [ending for name in formats.names() for ending in formats.load(name).READS]
    assert sorted(set(endings)) == sorted(endings)


def test_every_scheme_has_a_meaning() -> None:
    assert all(each.about and name == each.name for name, each in scheme.SCHEMES.items())


def test_extras_bring_what_formats_need() -> None:
    extras = toml.read(ROOT / "pyproject.toml", PlanError)["project"]["optional-dependencies"]
    own = {formats.load(name).EXTRA for name in formats.names()} - {""}
    assert own <= set(extras)
    own.add("prune")
    assert extras["all"] == [f"edgepack[{','.join(name for name in extras if name in own)}]"]
