"""Arg-max in the graph: every format returns the best class as a number, and every reader understands it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from apps import cases, cpp

import edgepack
from edgepack import bundle, formats, metrics, plan, target
from edgepack.app import monitoring, render
from edgepack.app.render import Choice
from edgepack.contract import Contract, ImageInput, Output, TensorInput, expected
from edgepack.contract.outputs import judge
from edgepack.contract.samples import Samples
from edgepack.errors import PlanError, SourceError
from edgepack.evaluate import checks
from edgepack.evaluate.model_file import Reference
from edgepack.model import graph_argmax
from edgepack.options import BuildOptions, CompressionOptions
from edgepack.report import Report

ALL_FORMATS = Path(__file__).parent.parent / "data" / "all-formats.toml"


@pytest.fixture(scope="module")
def built(small_fashion: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """The example's network in float, in all formats, with a class number as output."""
    out = tmp_path_factory.mktemp("argmax")
    (report,) = edgepack.build(
        str(small_fashion),
        targets=[str(ALL_FORMATS)],
        scheme="fp32",
        out=str(out),
        bake_preprocessing=True,
        bake_argmax=True,
    )
    return out / "all-formats", report


def test_every_format_returns_only_the_number(built: tuple[Path, Report]) -> None:
    folder, report = built
    assert {each.format for each in report.artifacts} == {"onnx", "executorch", "coreml", "torchscript"}
    for each in report.artifacts:
        assert each.figures.agreement == 100, each.file
        assert each.figures.accuracy == each.figures.accuracy_float, each.file
        assert each.figures.sqnr_db is None, "numbers of classes have no noise"
        assert each.verdict != "fail", each.checks
        inputs = bundle.read_golden(folder, "inputs")
        (output,) = formats.load(each.format).load(folder / each.file)(inputs[0])
        assert (output.shape, output.dtype.kind) == ((1,), "i"), each.file


def test_int8_is_judged_by_agreement(small_fashion: Path, tmp_path: Path) -> None:
    (report,) = edgepack.build(
        str(small_fashion),
        targets=["raspberry-pi-5"],
        formats=["onnx"],
        out=str(tmp_path),
        bake_preprocessing=True,
        bake_argmax=True,
        scheme="w8a8",
        emulator=False,
    )
    int8 = report.artifacts[0]
    assert int8.figures.agreement is not None
    assert int8.figures.agreement >= 97
    assert (int8.figures.sqnr_db, int8.verdict) == (None, "pass")


def test_each_file_and_the_bundle_say_so(built: tuple[Path, Report]) -> None:
    folder, report = built
    _, _, contract = bundle.open_bundle(folder)
    first = contract.outputs[0]
    assert (first.kind, first.activation, len(first.labels)) == ("class", "none", 10)
    for each in report.artifacts:
        assert formats.describe(folder / each.file).contract == contract, each.file


def test_golden_samples_are_those_that_no_rounding_turns(built: tuple[Path, Report]) -> None:
    folder, report = built
    golden = np.load(folder / "golden" / "outputs_0.npy")
    assert (golden.dtype, golden.shape) == (np.int64, (8, 1))
    for each in report.artifacts:
        own = np.load(folder / "golden" / f"{Path(each.file).name}.outputs_0.npy")
        np.testing.assert_array_equal(own, golden)


def test_a_check_sees_another_number(built: tuple[Path, Report], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(built[0], folder)
    golden = next((folder / "golden").glob("*.onnx.outputs_0.npy"))
    outputs = np.load(golden)
    outputs[3] = (outputs[3] + 1) % 10
    np.save(golden, outputs)
    verdicts = {
        Path(each.file).suffix: {check.name: check.verdict for check in each.checks}["repeats"]
        for each in edgepack.check(folder, emulator=False).artifacts
    }
    assert (verdicts.pop(".onnx"), set(verdicts.values())) == ("fail", {"pass"})


def rendered(folder: Path, template: str, goal: Path, format_name: str = "onnx") -> Path:
    render.rendered(folder, goal, Choice(template, format_name, "com.example.app"), force=False)
    return goal


def test_the_python_app_tells_the_label(built: tuple[Path, Report], tmp_path: Path) -> None:
    place = rendered(built[0], "linux-python", tmp_path / "app")
    pictures = sorted(cases.PICTURES.glob("*.png"))
    line = [sys.executable, "-m", "example_app"]
    done = _run([*line, *map(str, pictures), "--monitor", "m.json"], place)
    said = [each.strip() for each in done.stdout.splitlines()[1::2]]
    assert [cases.called(each) for each in said] == [each.stem for each in pictures]
    found = monitoring.read(place / "m.json")
    assert (found.count, found.top_score) == (len(pictures), None)
    assert sum(found.input_mean or ()) == len(pictures)
    assert [each.what for each in monitoring.drifts(found, expected.read(built[0]))] == ["input mean"]
    assert _run([*line, "--selftest"], place).returncode == 0
    golden = place / "example_app" / "golden" / "host_0.npy"
    np.save(golden, (np.load(golden) + 1) % 10)
    assert _run([*line, "--selftest"], place).returncode == 1


def _run(line: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.skipif(bool(cpp.absent()), reason=f"C++ apps are not built: {cpp.absent()}")
def test_so_does_the_c_app(built: tuple[Path, Report], tmp_path: Path) -> None:
    place = rendered(built[0], "linux-cpp", tmp_path / "app")
    assert cpp.built(place, "build", cpp.QUICK) == ""
    pictures = sorted(cases.PICTURES.glob("*.png"))
    done = cpp.run(["build/app", *pictures, "--monitor", "m.json"], place, cpp.environment())
    said = [each.strip() for each in done.stdout.splitlines()[1::2]]
    assert [cases.called(each) for each in said] == [each.stem for each in pictures]
    assert monitoring.read(place / "m.json").top_score is None
    assert cpp.run(["build/app", "--selftest"], place, cpp.environment()).returncode == 0
    golden = place / "golden" / "host_0.npy"
    np.save(golden, (np.load(golden) + 1) % 10)
    assert cpp.run(["build/app", "--selftest"], place, cpp.environment()).returncode == 1


def test_arg_max_alone_is_refused(small_fashion: Path) -> None:
    with pytest.raises(PlanError, match="--bake-argmax goes with --bake-preprocessing"):
        plan.resolve(BuildOptions(model=str(small_fashion), targets=("raspberry-pi-5",), bake_argmax=True))


IMAGE = ImageInput(kind="image", size=(8, 8))


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (Output(kind="regression"), "one score per class"),
        (Output(kind="classification", threshold=0.5), "threshold of 0.5"),
    ],
)
def test_what_has_no_best_class_is_refused(output: Output, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        graph_argmax.without_activation(Contract(inputs=(IMAGE,), outputs=(output,)))


def test_a_number_is_not_declared(small_fashion: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small_fashion, folder)
    settings = folder / "edgepack.toml"
    text = settings.read_text().replace('kind = "classification"', 'kind = "class"')
    settings.write_text("\n".join(each for each in text.splitlines() if "activation" not in each))
    with pytest.raises(SourceError, match="is set by --bake-argmax"):
        edgepack.build(str(folder), targets=["raspberry-pi-5"], out=str(tmp_path / "out"), emulator=False)
    assert not (tmp_path / "out").exists()


def test_a_number_takes_no_activation() -> None:
    with pytest.raises(ValueError, match="activation 'softmax' does not apply"):
        Output(kind="class", activation="softmax")


def test_the_clearest_samples_come_first() -> None:
    rows = [[0.4, 0.5, 0.1], [0.0, 0.9, 0.1], [0.1, 0.2, 0.7]]
    reference = tuple((np.array([each]),) for each in rows)
    samples = Samples(tuple((np.array([n]),) for n in range(3)), (1, 1, 2), "three", ())
    found, answers = graph_argmax.clearest_first(samples, reference)
    assert [int(row[0][0]) for row in found.inputs] == [1, 2, 0]
    assert found.labels == (1, 2, 1)
    assert answers == (reference[1], reference[2], reference[0])


def _judged(contract: Contract) -> tuple[judge.Judged, ...]:
    rows = tuple(tuple(np.array([1.0]) for _ in contract.outputs) for _ in range(2))
    return judge.judged(contract.outputs, rows, ((np.array(1),),) * 2, is_noise=False)


def test_numbers_are_compared_as_numbers() -> None:
    three, five = np.array([3]), np.array([5])
    assert (metrics.cosine(three, three), metrics.cosine(three, five)) == (1.0, 0.0)
    assert metrics.top1(((three,), (np.array([[0.1, 0.9]]),))).tolist() == [3, 1]
    contract = Contract(
        inputs=(TensorInput(kind="tensor", shape=(1, 3)),),
        outputs=(Output(kind="class"), Output(name="other")),
    )
    other = np.array([1.0])
    truth = ((np.array(3),), (np.array(5),))
    reference = Reference((), ((three, other),) * 2, contract, _judged(contract), truth)
    figures = checks.output_metrics(((three, other), (five, other)), reference)
    assert (figures.outputs[0].kind, figures.outputs[1].kind) == ("class", "values")
    assert (figures.agreement, figures.accuracy_float, figures.accuracy) == (50, 50, 100)
    assert not figures.exact
    assert figures.scored, "there is another output"
    contract = contract.model_copy(update={"outputs": contract.outputs[:1]})
    reference = Reference((), ((three,),) * 2, contract, _judged(contract))
    figures = checks.output_metrics(((three,), (five,)), reference)
    assert (figures.sqnr_db, figures.exact, figures.scored) == (None, False, False)
    names = [
        each.name
        for each in checks.quality(figures, target.load("pixel-8").budget, CompressionOptions(), "w8a8")
    ]
    assert names == ["agreement"], "class indices have the check of agreement only"
