"""Plans: everything a build will do is resolved, with reasons, before torch is imported."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest import NET, SETTINGS, write_samples

from edgepack import plan, resources
from edgepack.errors import BundleError, EdgepackError, PlanError, SourceError, TargetError
from edgepack.options import BuildOptions
from edgepack.report import Omission

CHOICES = {"model": "net.py:net", "targets": ("raspberry-pi-5",), "inputs": ("tensor:1x8",)}
PI = (resources.targets() / "raspberry-pi-5.toml").read_text(encoding="utf-8")


def resolve(**choices: object) -> plan.Plan:
    return plan.resolve(BuildOptions(**{**CHOICES, **choices}))  # type: ignore[arg-type]


def refused(kind: type[EdgepackError], **choices: object) -> str:
    with pytest.raises(kind) as raised:
        resolve(**choices)
    return f"{raised.value}\n{raised.value.hint}"


def steps(settled: plan.Plan) -> list[tuple[str, str]]:
    return [(step.format, step.scheme) for step in settled.targets[0].steps]


@pytest.fixture
def settled(here: Path) -> Path:
    """A folder with a model and its `edgepack.toml`, below where we stand."""
    folder = here / "project"
    folder.mkdir()
    (folder / "net.py").write_text(NET)
    (folder / "edgepack.toml").write_text(SETTINGS)
    write_samples(folder)
    return folder


# Resolved plans


def test_without_samples_int8_is_left_out_and_the_reason_names_what_is_taken(here: Path) -> None:
    found = resolve()
    assert steps(found) == [
        ("onnx", "w8d"),
        ("onnx", "w8"),
        ("onnx", "fp32"),
        ("executorch", "w8d"),
        ("executorch", "fp32"),
    ]
    omitted = {each.what: each.why for each in found.targets[0].omitted}
    assert set(omitted) == {"onnx w8a8", "executorch w8a8"}
    assert "no --calib" in omitted["onnx w8a8"]
    assert "falls back to w8d or w8 or fp32" in omitted["onnx w8a8"]
    assert found.eval_from.startswith("noise")


def test_with_samples_the_target_s_order_stands(here: Path) -> None:
    write_samples(here)
    found = resolve(calib="calib.npz")
    assert steps(found) == [
        ("onnx", "w8a8"),
        ("onnx", "w8d"),
        ("onnx", "w8"),
        ("onnx", "fp32"),
        ("executorch", "w8a8"),
        ("executorch", "w8d"),
        ("executorch", "fp32"),
    ]
    assert found.targets[0].omitted == ()
    assert found.eval_from == "a third of calib.npz, held out from calibration"
    assert resolve(calib="calib.npz", eval="eval.npz").eval_from == "eval.npz"


def test_formats_that_are_asked_for_come_in_that_order(here: Path) -> None:
    found = [name for name, _ in steps(resolve(formats=("executorch", "onnx")))]
    assert list(dict.fromkeys(found)) == ["executorch", "onnx"]


def test_a_format_that_a_target_has_no_use_for_is_left_out_with_the_reason(here: Path) -> None:
    found = resolve(formats=("onnx", "coreml"))
    assert {name for name, _ in steps(found)} == {"onnx"}
    assert ("coreml", "raspberry-pi-5 has no use for it; it takes onnx, executorch") in [
        (each.what, each.why) for each in found.targets[0].omitted
    ]


def test_a_scheme_that_a_format_does_not_carry_is_left_out_with_the_reason(here: Path) -> None:
    (here / "my.toml").write_text(PI.replace('["w8a8", "w8d", "w8", "fp32"]', '["p6", "fp32"]'))
    found = resolve(targets=("my.toml",), formats=("onnx",))
    assert steps(found) == [("onnx", "fp32")]
    assert found.targets[0].omitted[0] == Omission(
        "onnx p6", "onnx carries fp16, fp32, w8, w8a16, w8a8, w8d; falls back to fp32"
    )


def test_a_target_twice_is_built_once(here: Path) -> None:
    found = resolve(targets=("raspberry-pi-5", "raspberry-pi-4", "raspberry-pi-5"))
    assert [each.target.name for each in found.targets] == ["raspberry-pi-5", "raspberry-pi-4"]


def test_two_targets_of_one_name_are_refused(here: Path) -> None:
    (here / "raspberry-pi-5.toml").write_text(PI)
    said = refused(PlanError, targets=("raspberry-pi-5", "raspberry-pi-5.toml"))
    assert "two targets are called raspberry-pi-5" in said


def test_bundles_lie_below_out_one_a_target(here: Path) -> None:
    assert resolve().targets[0].folder == Path("dist/raspberry-pi-5")
    assert resolve(out="a/b").targets[0].folder == Path("a/b/raspberry-pi-5")


def test_a_target_without_a_template_says_so(here: Path) -> None:
    (here / "my.toml").write_text(PI.replace('template = "linux-python"\n', ""))
    omitted = resolve(targets=("my.toml",)).targets[0].omitted
    assert Omission("app", "no app template is shipped for linux yet") in omitted


# edgepack.toml, and the flags that beat it


@pytest.mark.parametrize("model", ["project", "project/edgepack.toml", "project/net.py:net"])
def test_settings_are_found_by_folder_file_or_model(settled: Path, model: str) -> None:
    found = plan.resolve(BuildOptions(model=model))
    assert found.model == "project/net.py:net"
    assert found.settings_file == "project/edgepack.toml"
    assert found.contract_from == "edgepack.toml"
    assert found.inputs == ({"kind": "tensor", "shape": (1, 8)},)
    assert found.outputs[0].labels == ("north", "east", "south", "west")
    assert (found.calib, found.eval) == ("project/calib.npz", "project/eval.npz")
    assert [scheme for _, scheme in steps(found)] == ["w8a8", "w8d", "w8", "fp32"]
    assert found.targets[0].folder == Path("dist/raspberry-pi-5")


def test_a_flag_beats_the_file(settled: Path) -> None:
    write_samples(settled.parent)
    (settled.parent / "words.txt").write_text("a\nb\nc\nd\n")
    (settled / "edgepack.toml").write_text(SETTINGS.replace("[build]", '[build]\nout = "made"'))
    found = plan.resolve(
        BuildOptions(
            model="project",
            targets=("raspberry-pi-4",),
            formats=("executorch",),
            inputs=("x=tensor:Nx8",),
            calib="calib.npz",
            eval="eval.npz",
            labels="words.txt",
            out="elsewhere",
        )
    )
    assert [each.folder for each in found.targets] == [Path("elsewhere/raspberry-pi-4")]
    assert {step.format for step in found.targets[0].steps} == {"executorch"}
    assert found.inputs == ({"kind": "tensor", "shape": ["N", 8], "name": "x"},)
    assert (found.calib, found.eval) == ("calib.npz", "eval.npz")
    assert found.labels == ("a", "b", "c", "d")
    assert found.contract_from == "--input"


def test_a_size_by_flag_leaves_the_rest_to_the_file(settled: Path) -> None:
    text = SETTINGS.replace('kind = "tensor"\nshape = [1, 8]', 'kind = "image"\nsize = [8, 8]\nresize_to = 9')
    (settled / "edgepack.toml").write_text(text)
    found = plan.resolve(BuildOptions(model="project", inputs=("image:16",)))
    assert found.inputs == ({"kind": "image", "size": [16, 16]},)
    assert found.contract_from == "--input, the rest from edgepack.toml"
    found = plan.resolve(BuildOptions(model="project", inputs=("image:4",)))
    assert found.inputs == ({"kind": "image", "size": [4, 4], "resize_to": 9},)


def test_settings_of_another_model_are_not_taken(settled: Path) -> None:
    (settled / "other.py").write_text(NET)
    found = resolve(model="project/other.py:net")
    assert found.settings_file == ""
    assert found.calib == ""


def test_paths_in_settings_are_relative_to_the_file(settled: Path) -> None:
    text = SETTINGS.replace("[build]", '[build]\nout = "../made"')
    (settled / "edgepack.toml").write_text(text.replace('"raspberry-pi-5"', '"raspberry-pi-4", "./my.toml"'))
    (settled / "my.toml").write_text(PI)
    folders = [each.folder for each in plan.resolve(BuildOptions(model="project")).targets]
    assert folders == [Path("made/raspberry-pi-4"), Path("made/my")]
    os.chdir(settled)
    folders = [each.folder for each in plan.resolve(BuildOptions(model=".")).targets]
    assert folders == [Path("../made/raspberry-pi-4"), Path("../made/my")]


def test_torchvision_and_exported_programs_bring_their_contract(here: Path) -> None:
    assert "weights metadata" in resolve(model="torchvision:resnet18", inputs=()).contract_from
    (here / "a.pt2").write_bytes(b"")
    assert "example inputs" in resolve(model="a.pt2", inputs=()).contract_from


def test_modules_and_packages_of_the_current_folder_and_installed_ones(here: Path) -> None:
    (here / "package").mkdir()
    (here / "package" / "deep.py").write_text(NET)
    for model in ("net:net", "package.deep:net", "json.decoder:JSONDecoder"):
        assert resolve(model=model).kind == "python"


def test_the_plan_is_one_json_document(here: Path) -> None:
    document = json.loads(plan.to_json(resolve()))
    assert document["model"] == "net.py:net"
    assert document["targets"][0]["steps"][0]["format"] == "onnx"
    assert document["targets"][0]["omitted"][0]["why"]


# What is refused


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nat.py:net", "there is no file nat.py"),
        ("net.py", "is not a model\ngive path/to/file.py:name"),
        ("net.py:", "is not a model"),
        (":net", "is not a model"),
        ("net.onnx", "is not a model"),
        ("nowhere.deep:net", "there is no module nowhere.deep"),
        ("./net:net", "there is no module ./net\na file is named with its .py"),
        ("nowhere.pt2", "there is no model file nowhere.pt2"),
        ("nowhere.pt", "there is no model file nowhere.pt"),
        (".", "is a folder without an edgepack.toml"),
        ("nowhere/edgepack.toml", "is a folder without an edgepack.toml"),
    ],
)
def test_a_model_that_is_not_there(here: Path, model: str, words: str) -> None:
    assert words in refused(SourceError, model=model)


def test_weights_alone_are_no_model(here: Path) -> None:
    (here / "a.pth").write_bytes(b"")
    said = refused(SourceError, model="a.pth")
    assert "a.pth holds weights without a model" in said
    assert "--weights a.pth" in said


@pytest.mark.parametrize(
    ("choices", "kind", "words"),
    [
        ({"targets": ()}, PlanError, "no target is given\nadd --target NAME"),
        ({"targets": ("raspbery-pi-5",)}, TargetError, "did you mean 'raspberry-pi-5'?"),
        ({"formats": ("onx",)}, PlanError, "there is no format 'onx': did you mean 'onnx'?"),
        ({"formats": ("coreml",)}, PlanError, "nothing is left to write for raspberry-pi-5 (coreml: "),
        ({"inputs": ()}, PlanError, "the inputs of the model are not declared\nadd --input"),
        ({"inputs": ("tensor:1xx8",)}, PlanError, "--input: "),
        ({"inputs": ("tensor:1x8:float63",)}, PlanError, "'float32', 'float16'"),
        ({"inputs": ("image:0",)}, PlanError, "greater than or equal to 1"),
        ({"scheme": "p6"}, PlanError, "nothing is left to write for raspberry-pi-5 (onnx p6"),
        ({"scheme": "w8a8"}, PlanError, "onnx w8a8: no --calib"),
        ({"recipe": "nowhere.toml"}, PlanError, "there is no recipe nowhere.toml"),
        ({"weights": "nowhere.pth"}, SourceError, "there is no weights file nowhere.pth"),
        ({"weights": "."}, SourceError, "there is no weights file ."),
        ({"calib": "nowhere"}, SourceError, "there are no samples at nowhere"),
        ({"eval": "nowhere.npz"}, SourceError, "there are no samples at nowhere.npz"),
        ({"labels": "nowhere.txt"}, SourceError, "labels nowhere.txt cannot be read"),
        ({"out": "net.py/deep"}, BundleError, "net.py cannot be written to\ngive another --out"),
    ],
)
def test_choices_that_cannot_be_carried_out(
    here: Path, choices: dict[str, object], kind: type[EdgepackError], words: str
) -> None:
    assert words in refused(kind, **choices)


def test_a_folder_that_is_no_bundle_is_not_overwritten(here: Path) -> None:
    (here / "dist" / "raspberry-pi-5").mkdir(parents=True)
    assert "dist/raspberry-pi-5 exists and is no bundle" in refused(BundleError)
    (here / "dist" / "raspberry-pi-5" / "bundle.json").write_text("{}")
    assert resolve().targets[0].folder.is_dir()


@pytest.mark.parametrize(
    ("before", "after", "kind", "words"),
    [
        ('name = "executorch"', 'name = "exekutorch"', PlanError, "which does not exist"),
        (
            '"linux-python"',
            '"linux-pithon"',
            TargetError,
            "there is no template 'linux-pithon': did you mean",
        ),
    ],
)
def test_a_profile_that_asks_for_what_there_is_not(
    here: Path, before: str, after: str, kind: type[EdgepackError], words: str
) -> None:
    assert before in PI
    (here / "my.toml").write_text(PI.replace(before, after))
    assert words in refused(kind, targets=("my.toml",))


def test_settings_that_name_no_model(here: Path) -> None:
    (here / "edgepack.toml").write_text("")
    assert "names no model: add source" in refused(PlanError, model=".")
