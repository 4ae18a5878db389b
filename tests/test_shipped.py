"""What is shipped: every target, template and format loads, and they fit each other."""

from __future__ import annotations

import importlib
import inspect
from importlib import metadata
from types import ModuleType, SimpleNamespace
from typing import cast, get_args

import pytest
from conftest import ROOT

from edgepack import formats, resources, scheme, target, toml
from edgepack.app import template
from edgepack.errors import PlanError
from edgepack.formats import Format, LoadedFormat
from edgepack.target import Platform

ATTRIBUTES = inspect.get_annotations(Format)
METHODS = {name: each for name, each in vars(Format).items() if inspect.isfunction(each) and name[0] != "_"}
OPTIONAL = {
    name: each
    for name, each in vars(LoadedFormat).items()
    if inspect.isfunction(each) and name[0] != "_" and name not in METHODS
}

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
    found = formats.load_target(name)
    assert found.name == name
    for choice in found.formats:
        assert choice.name in formats.names()
        assert set(choice.schemes) <= formats.load(choice.name).capabilities(found).schemes
        assert len(set(choice.schemes)) == len(choice.schemes)
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


# Formats: the Protocol is what a module must have, LoadedFormat what it may have


def module_of(name: str) -> ModuleType:
    return importlib.import_module(f"edgepack.formats.{name}")


@pytest.mark.parametrize("name", formats.names())
@pytest.mark.parametrize("attribute", sorted(ATTRIBUTES))
def test_a_format_has_the_attributes_of_the_protocol(name: str, attribute: str) -> None:
    value = getattr(module_of(name), attribute)
    wanted = {"str": str, "frozenset[SchemeName]": frozenset}
    assert isinstance(value, wanted[ATTRIBUTES[attribute]])


@pytest.mark.parametrize("name", formats.names())
@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_format_has_the_functions_of_the_protocol(name: str, method: str) -> None:
    given = inspect.signature(getattr(module_of(name), method))
    wanted = inspect.signature(METHODS[method])
    assert list(given.parameters.values()) == list(wanted.parameters.values())[1:]
    assert given.return_annotation == wanted.return_annotation


@pytest.mark.parametrize("name", formats.names())
@pytest.mark.parametrize("method", sorted(OPTIONAL))
def test_an_optional_function_of_a_format_has_the_signature_of_its_default(name: str, method: str) -> None:
    function = getattr(module_of(name), method, None)
    if function is None:
        return
    given, wanted = inspect.signature(function), inspect.signature(OPTIONAL[method])
    assert list(given.parameters.values()) == list(wanted.parameters.values())[1:]
    assert given.return_annotation == wanted.return_annotation


def test_the_protocol_is_what_these_tests_take_it_for() -> None:
    assert set(ATTRIBUTES) == {"SUFFIX"}
    assert set(METHODS) == {"availability", "capabilities", "export", "load", "describe"}
    assert set(OPTIONAL) == {
        "check_target",
        "float_reason",
        "import_runtime",
        "min_delegated",
        "no_gain",
        "files",
        "variant",
        "weight_storage",
    }


def test_a_loaded_format_has_every_member_of_the_protocol() -> None:
    assert set(METHODS) <= set(vars(LoadedFormat))
    assert {each.lower() for each in ATTRIBUTES} <= set(vars(LoadedFormat))


def test_what_a_format_leaves_out_has_a_default() -> None:
    bare = LoadedFormat("bare", cast("Format", SimpleNamespace(SUFFIX=".bare")))
    pi = target.load("raspberry-pi-5")
    assert (bare.reads, bare.about, bare.extra, bare.variant(pi)) == ((".bare",), "bare", "", "")
    assert bare.no_gain("channels", pi) == ""
    assert bare.no_gain("2:4", pi).startswith("a .bare stores zeros like any other weight")
    assert (bare.check_target(pi), bare.min_delegated(pi)) == ("", None)
    assert bare.options_model.model_fields == {}
    assert bare.weight_storage() is not None
    bare.import_runtime()


@pytest.mark.parametrize("name", formats.names())
def test_a_format_s_facts_hold_together(name: str) -> None:
    module = formats.load(name)
    assert module.suffix in module.reads
    assert all(each.startswith(".") for each in module.reads)
    assert set(scheme.SCHEMES) >= module.schemes
    assert any(scheme.SCHEMES[each].is_float for each in module.schemes)
    assert module.about
    extras = metadata.metadata("edgepack").get_all("Provides-Extra") or []
    assert not module.extra or module.extra in extras
    facts = formats.facts(name)
    assert (facts["name"], facts["suffix"]) == (name, module.suffix)
    for each in target.names():
        assert isinstance(module.variant(target.load(each)), str)


def test_an_ending_is_read_by_one_format() -> None:
    endings = [ending for name in formats.names() for ending in formats.load(name).reads]
    assert sorted(set(endings)) == sorted(endings)


def test_every_scheme_has_a_meaning() -> None:
    assert all(each.about and name == each.name for name, each in scheme.SCHEMES.items())


def test_extras_bring_what_formats_need() -> None:
    extras = toml.read(ROOT / "pyproject.toml", PlanError)["project"]["optional-dependencies"]
    own = {formats.load(name).extra for name in formats.names()} - {""}
    assert own <= set(extras)
    own |= {"prune", "timm", "transformers", "keras", "text"}
    assert extras["all"] == [f"edgepack[{','.join(name for name in extras if name in own)}]"]
