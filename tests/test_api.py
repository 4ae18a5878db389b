"""The Python API: every command has a function, and every type in their signatures is exported."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType

import pytest
from conftest import Command, write_samples

import edgepack
from edgepack import api, options
from edgepack.cli import app as cli
from edgepack.cli.commands import COMMANDS
from edgepack.errors import PlanError
from edgepack.options import BuildOptions, Flag

FUNCTIONS = {
    name: each for name, each in vars(api).items() if isinstance(each, FunctionType) and name[0] != "_"
}
OF_COMMAND = {
    "build": {"build"},
    "plan": {"make_plan"},
    "check": {"check"},
    "inspect": {"inspect"},
    "sensitivity": {"measure_sensitivity"},
    "app": {"render_app"},
    "monitor": {"read_monitoring", "measure_drift"},
    "targets": {"list_targets", "load_target"},
    "formats": {"list_formats"},
    "templates": {"list_templates"},
    "doctor": {"examine_host"},
    "emulator": {"setup_emulator", "find_emulator", "remove_emulator"},
}
BUILT_IN = {"Any", "Callable", "None", "Path", "Unpack", "bool", "dict", "float", "list", "str", "tuple"}


def test_every_command_has_functions_and_every_function_a_command() -> None:
    assert set(OF_COMMAND) == set(COMMANDS)
    assert set().union(*OF_COMMAND.values()) == set(FUNCTIONS)


@pytest.mark.parametrize("name", edgepack.__all__)
def test_what_is_exported_can_be_imported(name: str) -> None:
    assert getattr(edgepack, name).__doc__


def test_lazy_types_are_those_that_type_checkers_see() -> None:
    lazy = {f"edgepack.{module}": set(names) for module, names in edgepack._MODULES.items()}
    tree = ast.parse(Path(inspect.getfile(edgepack)).read_text(encoding="utf-8"))
    (checked,) = (each for each in tree.body if isinstance(each, ast.If))
    imports = [each for each in checked.body if isinstance(each, ast.ImportFrom)]
    assert {each.module: {name.name for name in each.names} for each in imports} == lazy
    assert set().union(*lazy.values()) < set(edgepack.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_type_in_a_signature_is_exported(name: str) -> None:
    assert name in edgepack.__all__
    named = {word for each in FUNCTIONS[name].__annotations__.values() for word in re.findall(r"\w+", each)}
    assert named - BUILT_IN <= set(edgepack.__all__)


def test_no_function_has_the_name_of_a_module() -> None:
    """Once `edgepack.plan` is imported, a function of that name would be gone."""
    modules = {path.stem for path in Path(inspect.getfile(edgepack)).parent.iterdir()}
    assert not modules & set(FUNCTIONS)


def test_an_import_is_cheap() -> None:
    code = "import sys, edgepack; print({'pydantic', 'numpy', 'torch'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


def test_what_is_not_exported_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edgepack.nothing  # noqa: B018


# One declaration of an option


def _flags(command: str) -> dict[str, object]:
    """The parameters of a command by name."""
    import typer.main

    group: object = typer.main.get_command(cli)
    assert hasattr(group, "commands")
    return {each.name: each for each in group.commands[command].params}


@pytest.mark.parametrize("command", ["build", "plan"])
def test_every_option_is_a_flag_with_the_same_default_and_help(command: str) -> None:
    flags = _flags(command)
    assert set(flags) - {"json", "debug", "context", "help", "verbose"} == set(BuildOptions.model_fields)
    for name, field in BuildOptions.model_fields.items():
        (declared,) = (each for each in field.metadata if isinstance(each, Flag))
        flag = flags[name]
        assert hasattr(flag, "help")
        assert hasattr(flag, "default")
        assert flag.help.startswith(declared.help)
        if field.is_required():
            continue
        assert (flag.default or None) == (field.default or None), name


def test_sensitivity_has_the_flags_that_its_function_has_keywords() -> None:
    keywords = {*options.ModelKeywords.__annotations__, "model"}
    assert set(_flags("sensitivity")) & set(BuildOptions.model_fields) == keywords


def test_a_flag_that_is_not_given_leaves_the_choice_to_the_file(here: Path, command: Command) -> None:
    write_samples(here)
    (here / "edgepack.toml").write_text(
        '[model]\nsource = "net.py:net"\n[input]\nkind = "tensor"\nshape = [1, 8]\n'
        '[build]\ntargets = ["raspberry-pi-5"]\nout = "made"\nemulator = false\n'
        '[compress]\nscheme = "fp32"\nseed = 3\n'
    )
    plain = json.loads(command("plan", ".", "--json").out)
    assert (plain["emulator"], plain["targets"][0]["folder"]) == (False, "made/raspberry-pi-5")
    assert (plain["targets"][0]["goal"]["scheme"], plain["targets"][0]["goal"]["seed"]) == ("fp32", 3)
    flags = ("--emulator", "--out", "dist", "--scheme", "auto", "--seed", "0")
    given = json.loads(command("plan", ".", "--json", *flags).out)
    assert (given["emulator"], given["targets"][0]["folder"]) == (True, "dist/raspberry-pi-5")
    assert (given["targets"][0]["goal"]["scheme"], given["targets"][0]["goal"]["seed"]) == ("auto", 0)


# The functions


def test_a_plan_by_keywords_and_by_options(here: Path) -> None:
    by_keywords = edgepack.make_plan("net.py:net", targets=["raspberry-pi-5"], inputs=["tensor:1x8"])
    chosen = BuildOptions(model="net.py:net", targets=("raspberry-pi-5",), inputs=("tensor:1x8",))
    assert edgepack.make_plan(chosen) == by_keywords
    assert str(edgepack.make_plan(chosen, out="o").targets[0].folder) == "o/raspberry-pi-5"
    with pytest.raises(PlanError, match="unknown key 'tarkets': did you mean 'targets'"):
        edgepack.make_plan("net.py:net", tarkets=["raspberry-pi-5"])  # type: ignore[call-arg]


def test_lists() -> None:
    assert "raspberry-pi-5" in [each.name for each in edgepack.list_targets()]
    assert edgepack.load_target("pixel-8").name == "pixel-8"
    assert {"onnx", "coreml"} <= {each["name"] for each in edgepack.list_formats()}
    assert "linux-python" in [each.name for each in edgepack.list_templates()]
    assert edgepack.examine_host().packages


def test_check_against_the_bundle_itself_and_an_app_by_function(bundle_copy: Path) -> None:
    report = edgepack.check(bundle_copy, against=bundle_copy, emulator=False)
    names: Sequence[str] = [check.name for each in report.artifacts for check in each.checks]
    assert "instructions" in names
    rendered = edgepack.render_app(bundle_copy, out=bundle_copy.parent / "elsewhere")
    assert rendered.template == "linux-python"
    assert (bundle_copy.parent / "elsewhere").is_dir()


def test_sensitivity_by_function(here: Path) -> None:
    write_samples(here)
    given = {"targets": ["raspberry-pi-5"], "inputs": ["tensor:1x8"], "calib": "calib.npz"}
    layers = edgepack.measure_sensitivity("net.py:net", plot="s.svg", **given)  # type: ignore[arg-type]
    assert layers
    assert (here / "s.svg").is_file()
