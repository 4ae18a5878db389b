"""Templates: what a contract holds is put into code as data, whatever it is spelt with."""

from __future__ import annotations

import ast
import importlib
import math
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tomllib
from apps import cases

from edgepack import resources
from edgepack.app import escaping, template
from edgepack.app import render as apps
from edgepack.contract import Contract, ImageInput, Output, TensorInput
from edgepack.contract.expected import Expected
from edgepack.errors import TargetError

NASTY = (
    "double \" and single ' and both \"'",
    "back\\slash \\n \\",
    "line\nend\r\nand\rtab\t",
    "$HOME ${x} `id` $(id)",
    "{{ app.title }} {% raw %} {# gone #}",
    "{0} %s %(x)s",
    '"""',
    "'''",
    "#! # comment",
    "\u2028\u2029\x00\x07\x1b[31m",
    "☃ 🦙 e\u0301 \u202eltr",
    "\ud83d",  # half a surrogate pair
    "</script><!-- -->",
    "import os; os.abort()",
    "",
    " ",
)


def app(**keys: Any) -> template.App:
    image = ImageInput(kind="image", name=NASTY[0], size=(8, 8), mean=(0.1, 1e-17, 1 / 3), std=(1, 2, 3))
    contract = Contract(inputs=(image,), outputs=(Output(kind="classification", labels=NASTY),))
    defaults: dict[str, Any] = {"name": "net", "title": "a board", "slug": "net", "scheme": "w8a8"}
    defaults |= {"package": "com.example.net", "file": "net.onnx", "format": "onnx", "threads": 4}
    defaults |= {"contract": contract, "tolerance": 0.99, "expected": Expected(), "versions": {}}
    return template.App(**{**defaults, **keys})


def rendered(folder: Path, **keys: Any) -> SimpleNamespace:
    """The values in the rendered contract.py, which holds nothing but literals."""
    template.render("linux-python", app(**keys), folder / "app")
    tree = ast.parse((folder / "app" / "net_app" / "contract.py").read_text(encoding="utf-8"))
    values = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            assert isinstance(node.targets[0], ast.Name)
            values[node.targets[0].id] = ast.literal_eval(node.value)
        else:
            assert isinstance(node, ast.Expr)
            assert isinstance(node.value, ast.Constant)
    return SimpleNamespace(**values)


def test_names_come_through_whole_whatever_they_are_spelt_with(tmp_path: Path) -> None:
    found = rendered(tmp_path)
    assert "labels" not in found.CONTRACT["outputs"][0]
    assert found.CONTRACT["inputs"][0]["name"] == NASTY[0]


@pytest.mark.parametrize("word", [word for word in NASTY if "\ud83d" not in word])
def test_so_do_title_and_paths(tmp_path: Path, word: str) -> None:
    found = rendered(tmp_path, name=word, title=word, file=f"{word}.onnx")
    assert (word, word) == (found.NAME, found.DEVICE)
    assert f"assets/{word}.onnx" == found.MODEL
    for path in (tmp_path / "app").rglob("*.py"):
        compile(path.read_text(encoding="utf-8"), str(path), "exec")


def test_numbers_come_through_exactly(tmp_path: Path) -> None:
    found = rendered(tmp_path, tolerance=0.9999)
    given = app().contract.inputs[0]
    assert isinstance(given, ImageInput)
    assert tuple(found.CONTRACT["inputs"][0]["mean"]) == given.mean
    assert math.isclose(found.TOLERANCE, 0.9999, rel_tol=0)
    assert (found.FORMAT, found.THREADS) == ("onnx", 4)


def test_the_contract_is_read_back_as_it_was(tmp_path: Path) -> None:
    free = TensorInput(kind="tensor", shape=("N", 3), dtype="int64")
    contract = Contract(inputs=(free,), outputs=(Output(), Output(name="b", kind="regression")))
    assert Contract.model_validate(rendered(tmp_path, contract=contract).CONTRACT) == contract


@pytest.mark.parametrize("format_name", ["onnx", "executorch"])
def test_all_files_but_the_template_s_own_are_there(tmp_path: Path, format_name: str) -> None:
    template.render("linux-python", app(format=format_name), tmp_path / "app")
    root = resources.templates() / "linux-python"
    others = {"onnx": {"run_executorch.py"}, "executorch": {"run_onnx.py", "session.py"}}[format_name]
    wanted = {
        path.relative_to(root).as_posix().removesuffix(".j2"): path
        for path in root.rglob("*")
        if path.is_file() and path.name not in {"template.toml", *others} and "__pycache__" not in path.parts
    }
    there = {path.relative_to(tmp_path / "app").as_posix() for path in (tmp_path / "app").rglob("*.*")}
    assert there == {name.replace("model_app", "net_app") for name in wanted}
    assert "net_app/main.py" in there
    for name, path in wanted.items():
        if path.suffix != ".j2":
            made = tmp_path / "app" / name.replace("model_app", "net_app")
            assert made.read_bytes() == path.read_bytes()
    needed = tomllib.loads((tmp_path / "app" / "pyproject.toml").read_text())["project"]["dependencies"]
    assert [each.split(">")[0] for each in needed][2:] == {
        "onnx": ["onnxruntime"], "executorch": ["executorch", "torch"],
    }[format_name]  # fmt: skip


def test_rendering_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        template.render("linux-python", app(), tmp_path / name)
    one, two = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("one", "two")
    )
    assert one == two
    assert len(one) > 10


@pytest.mark.parametrize(
    ("package", "module", "command"),
    [
        ("com.example.net", "net_app", "net-app"),
        ("com.example.app", "example_app", "example-app"),
        ("io.Acme.Net_2", "net_2_app", "net-2-app"),
        ("com.example.torch", "torch_app", "torch-app"),
    ],
)
def test_a_python_package_hides_no_other(package: str, module: str, command: str) -> None:
    made = app(package=package)
    assert (made.module, made.command) == (module, command)


@pytest.mark.parametrize("word", [*NASTY, "model_app"])
def test_the_package_s_own_description_is_read_back(tmp_path: Path, word: str) -> None:
    template.render("linux-python", app(name=word, title=word), tmp_path / "app")
    project = tomllib.loads((tmp_path / "app" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["description"] == escaping.line(f"{word} on {word}")
    assert project["scripts"] == {"net-app": "net_app.main:main"}


EVERY = [(name, each) for name in template.names() for each in template.load(name).formats]


@pytest.mark.parametrize(("name", "format_name"), EVERY)
def test_every_app_is_the_same_twice_and_holds_nothing_of_here(
    tmp_path: Path, name: str, format_name: str
) -> None:
    versions = {"executorch": "1.5.1+cpu", "onnxruntime": "1.32.0"}
    made = app(format=format_name, name=NASTY[3], title=NASTY[3], versions=versions)
    for folder in ("one", "two"):
        template.render(name, made, tmp_path / folder)
    one, two = (
        {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
        for root in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two
    assert len(one) > 15
    for place, content in one.items():
        text = content.decode(errors="replace")
        for here in (tmp_path, Path.home(), resources.templates()):
            assert str(here) not in text, place
        assert not re.search(r"copyright|spdx-|licen[cs]ed? under|all rights reserved", text, re.I), place
        assert not re.search(r"(import|require|include|depend\w*)\b.*\bedgepack", text, re.I), place
        assert "model_app" not in f"{place} {text}", place


@pytest.mark.parametrize("number", range(len(cases.contracts())))
def test_the_python_app_gives_the_reference_s_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    image = cases.contracts()[number]
    contract = Contract(inputs=(image,), outputs=(Output(kind="classification"),))
    template.render(
        "linux-python", app(package=f"com.example.bits{number}", contract=contract), tmp_path / "app"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "app"))
    sample = importlib.import_module(f"bits{number}_app.sample")
    for path in cases.pictures(tmp_path):
        (given,) = sample.read(path)
        (tensor,) = given.inputs
        wanted = cases.Case(path, image).wanted
        assert tensor.dtype == wanted.dtype, path.name
        np.testing.assert_array_equal(tensor, wanted, path.name)
        assert 0 <= given.mean <= 255
        assert given.milliseconds > 0


def test_a_hole_that_nothing_fills_is_an_error(own_templates: Path) -> None:
    import jinja2

    (own_templates / "mine" / "a.txt.j2").write_text("{{ app.colour }}")
    with pytest.raises(jinja2.UndefinedError, match="colour"):
        template.render("mine", app(), own_templates / "out")


def test_only_j2_files_have_holes_and_byte_code_is_left_out(own_templates: Path) -> None:
    mine = own_templates / "mine"
    (mine / "deep" / "__pycache__").mkdir(parents=True)
    (mine / "deep" / "__pycache__" / "a.pyc").write_bytes(b"x")
    (mine / "deep" / "plain.kt").write_text('val a = "${b} {{ c }}"')
    (mine / "deep" / "full.kt.j2").write_text("val a = {{ app.threads }}\n")
    template.render("mine", app(), own_templates / "out")
    there = sorted(
        path.relative_to(own_templates / "out").as_posix() for path in own_templates.glob("out/**/*")
    )
    assert there == ["deep", "deep/full.kt", "deep/plain.kt"]
    assert (own_templates / "out" / "deep" / "plain.kt").read_text() == 'val a = "${b} {{ c }}"'
    assert (own_templates / "out" / "deep" / "full.kt").read_text() == "val a = 4\n"


@pytest.fixture
def own_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one template, `mine`, in place of those that are shipped."""
    (tmp_path / "mine").mkdir()
    text = (resources.templates() / "linux-python" / "template.toml").read_text()
    (tmp_path / "mine" / "template.toml").write_text(text)
    monkeypatch.setattr(resources, "templates", lambda: tmp_path)
    return tmp_path


def test_names_are_folders_with_a_template_toml(own_templates: Path) -> None:
    (own_templates / "not one").mkdir()
    assert template.names() == ["mine"]
    assert template.load("mine").name == "mine"


def test_a_template_that_is_not_there_or_does_not_hold_together(own_templates: Path) -> None:
    with pytest.raises(TargetError, match="there is no template 'mien': did you mean 'mine'"):
        template.load("mien")
    (own_templates / "mine" / "template.toml").write_text('abuot = "x"')
    with pytest.raises(TargetError, match="unknown key 'abuot': did you mean 'about'"):
        template.load("mine")


def test_the_rendered_app_reads_its_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template.render("linux-python", app(title=NASTY[2]), tmp_path / "app")
    monkeypatch.syspath_prepend(str(tmp_path / "app"))
    scores = importlib.import_module("net_app.scores")
    every = (*NASTY, *(f"label {n}" for n in range(10_000)))
    (tmp_path / "labels.txt").write_bytes(
        "".join(f"{apps.on_one_line(each)}\n" for each in every).encode(errors="replace")
    )
    labels = scores.read_labels(tmp_path / "labels.txt")
    assert labels[: len(NASTY)] == [each.replace("\ud83d", "?") for each in NASTY]
    assert labels[len(NASTY) :] == [f"label {n}" for n in range(10_000)]
    for number, word in enumerate(NASTY):
        shown = scores.label(number, labels)
        shown.encode()
        assert shown.isprintable() or not word.isprintable()
        assert "\n" not in shown
        assert "\x1b" not in shown
    for name in [each for each in sys.modules if each.partition(".")[0] == "net_app"]:
        monkeypatch.delitem(sys.modules, name)
