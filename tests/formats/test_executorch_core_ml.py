"""A `.pte` whose operators Core ML runs, or some of them: written here, taken apart again, and evaluated."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command

import edgepack
from edgepack import formats, resources, target
from edgepack.contract import Contract, Output, TensorInput
from edgepack.errors import BundleError, ExportError, TargetError
from edgepack.formats import Availability
from edgepack.model.source import Source
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName
from edgepack.silence import quiet

pytest.importorskip("executorch")
pytest.importorskip("coremltools")
pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="Core ML itself runs them there")

PHONE = target.load("iphone-15")
EVALUATED = "evaluated in torch, operation by operation (not Core ML)"
BESIDE = "operators outside Core ML run in torch's kernels, not ExecuTorch's"


@pytest.mark.parametrize(
    ("scheme", "agreement", "sqnr", "bytes_"),
    [("fp32", 1.0, 90.0, 200_000), ("fp16", 0.999, 45.0, 100_000), ("w8", 0.99, 30.0, 60_000)],
)
def test_each_scheme_agrees_with_float(
    fashion: Source, tmp_path: Path, scheme: SchemeName, agreement: float, sqnr: float, bytes_: int
) -> None:
    module = formats.load("executorch")
    path = tmp_path / "net.pte"
    exported = module.export(fashion, Recipe(scheme), PHONE, path)
    assert exported.delegation is not None
    assert str(exported.delegation) == "CoreMLBackend 100 % of operators, 100 % of multiply-adds"
    assert path.stat().st_size < bytes_
    assert module.availability(path) == Availability("", "Core ML runs on macOS only", EVALUATED)
    runner = module.load(path)
    given = fashion.evaluation.inputs[:100]
    answers = np.stack([runner(sample)[0] for sample in given])
    floats = np.stack([outputs[0] for outputs in fashion.reference[:100]])
    assert np.mean(answers.argmax(-1) == floats.argmax(-1)) >= agreement
    noise = np.sum((answers.astype(np.float64) - floats) ** 2)
    assert 10 * np.log10(np.sum(floats.astype(np.float64) ** 2) / noise) > sqnr
    held = module.describe(path)
    assert (held.operators["conv"], held.operators["linear"], held.delegated) == (11, 1, 1)
    precisions = {layer.precision for layer in held.layers}
    assert precisions == {"fp32": {"fp32"}, "fp16": {"fp16"}, "w8": {"fp16", "int8"}}[scheme]


def test_the_same_program_gives_the_same_bytes(fashion: Source, tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        formats.load("executorch").export(fashion, Recipe("fp16"), PHONE, tmp_path / name)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert b"conversion_date" not in written[0]


class _Ends(torch.nn.Module):
    """Inputs and outputs that must not be confused, of several types."""

    def forward(self, a: torch.Tensor, b: torch.Tensor, n: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (n + 1, a - 2 * b, (a @ b.T).argmax(-1), b * n)


class _Asinh(torch.nn.Module):
    """Core ML has no asinh."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.asinh(self.layer(x)) * 2


CONTRACT = Contract(inputs=(TensorInput(kind="tensor", shape=(1,)),), outputs=(Output(),))
"""Of no bearing here."""


@pytest.fixture(scope="module")
def lowered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[torch.nn.Module, tuple[Any, ...]], Path]:
    """A module's `.pte` for Core ML."""
    folder = tmp_path_factory.mktemp("lowered")

    def lower(module: torch.nn.Module, example: tuple[Any, ...], floor: str = "iOS17") -> Path:
        from edgepack.formats.executorch import core_ml, program

        with quiet(), core_ml.repeatable():
            exported = torch.export.export(module.eval(), example, strict=False)
            written, _ = program.lowered(exported, CONTRACT, core_ml.partitioner("fp32", floor))
        path = folder / f"{type(module).__name__}-{floor}.pte"
        path.write_bytes(written)
        return path

    return lower


def test_inputs_and_outputs_keep_their_order_and_types(
    lowered: Callable[[torch.nn.Module, tuple[Any, ...]], Path],
) -> None:
    torch.manual_seed(0)
    given = (torch.randn(3, 5), torch.randn(3, 5), torch.arange(5, dtype=torch.int32))
    path = lowered(_Ends(), given)
    found = formats.load("executorch").load(path)(tuple(each.numpy() for each in given))
    told = formats.describe(path).outputs
    for mine, wanted, tensor in zip(found, _Ends()(*given), told, strict=True):
        np.testing.assert_allclose(mine, wanted.numpy(), rtol=1e-5, atol=1e-6)
        assert (mine.dtype.name, mine.shape) == (tensor.dtype, tensor.shape)


def test_a_program_with_operators_outside_is_evaluated_whole(
    lowered: Callable[[torch.nn.Module, tuple[Any, ...]], Path],
) -> None:
    torch.manual_seed(0)
    net = _Asinh()
    module, path = formats.load("executorch"), lowered(net, (torch.randn(2, 4),))
    expected = Availability("", "Core ML runs on macOS only", f"{EVALUATED}; {BESIDE}")
    assert module.availability(path) == expected
    assert formats.runs("executorch", path)
    assert formats.describe(path).outside == {"aten::asinh": 1}
    given = torch.randn(2, 4)
    (found,) = module.load(path)((given.numpy(),))
    np.testing.assert_allclose(found, net(given).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_an_operator_beside_that_torch_has_not_is_an_error_that_names_it(
    lowered: Callable[[torch.nn.Module, tuple[Any, ...]], Path], tmp_path: Path
) -> None:
    path = tmp_path / "unheard.pte"
    data = lowered(_Asinh(), (torch.randn(2, 4),)).read_bytes()
    path.write_bytes(data.replace(b"aten::asinh", b"aten::asinX"))
    with pytest.raises(BundleError, match=r"aten::asinX\.out cannot be run here"):
        formats.load("executorch").load(path)


class _Counter(torch.nn.Module):
    """What it was given so far, kept by Core ML, and a part of it that Core ML does not take."""

    total: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(1, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.add_(x)
        return torch.asinh(self.total * 2)


@pytest.mark.parametrize("floor", ["iOS17", "iOS18"])
def test_state_is_kept_from_run_to_run(lowered: Callable[..., Path], floor: str) -> None:
    """From iOS 18 on it is Core ML's own, before that the program's."""
    run = formats.load("executorch").load(lowered(_Counter(), (torch.zeros(1, 4),), floor))
    given = np.array([[1, 2, 3, 4]], np.float32)
    for times in (1, 2, 3):
        np.testing.assert_allclose(run((given,))[0], np.arcsinh(2 * times * given), rtol=1e-3)


def test_a_damaged_part_is_refused(
    lowered: Callable[[torch.nn.Module, tuple[Any, ...]], Path], tmp_path: Path
) -> None:
    whole = lowered(_Ends(), (torch.randn(3, 5), torch.randn(3, 5), torch.arange(5, dtype=torch.int32)))
    path = tmp_path / "damaged.pte"
    path.write_bytes(whole.read_bytes().replace(b"itemInfoEntries", b"itemInfoEntrees"))
    module = formats.load("executorch")
    for reader in (module.load, module.describe):
        with pytest.raises(BundleError, match="its Core ML part is not a Core ML model"):
            reader(path)
    path.write_bytes(whole.read_bytes()[:2000])
    assert module.availability(path).run == "", "its runtime says what is wrong with it"


# Targets and builds


def _phone(folder: Path, schemes: str = '"w8", "fp16"', least: str = "") -> Path:
    """The iPhone's profile with these schemes for ExecuTorch."""
    own = (resources.targets() / "iphone-15.toml").read_text(encoding="utf-8")
    before = 'delegate = "coreml"\nschemes = ["w8", "fp16"]'
    assert before in own
    path = folder / "phone.toml"
    path.write_text(own.replace(before, f'delegate = "coreml"\n{least}\nschemes = [{schemes}]'))
    return path


NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.second = nn.Linear(16, 4)

    def forward(self, x):
        return self.second(torch.asinh(self.first(x)))


def net():
    torch.manual_seed(0)
    return Net()
"""


def test_a_build_judges_by_the_evaluator_and_a_check_repeats_it(here: Path, command: Command) -> None:
    line = ("build", "net.py:net", "-t", "iphone-15", "-f", "executorch", "--input", "tensor:1x8")
    ended = command(*line, "--scheme", "fp16", "--out", here / "out", "-v")
    assert ended.code == 0, ended.err
    assert "CoreMLBackend 100 % of operators" in ended.out
    assert f"evaluated Core ML runs on macOS only; {EVALUATED}" in " ".join(ended.out.split())
    (artifact,) = edgepack.check(here / "out" / "iphone-15").artifacts
    assert artifact.figures.sqnr_db is not None
    assert artifact.figures.memory_mb is None, "that of the evaluator says nothing of the phone"
    (repeats,) = [each for each in artifact.checks if each.name == "repeats"]
    assert repeats.verdict == "pass"
    assert repeats.figure == pytest.approx(1)


def test_a_build_of_what_core_ml_does_not_take_whole(here: Path, command: Command) -> None:
    (here / "net.py").write_text(NET)
    phone = _phone(here, '"fp16"', "min_delegated = 90")
    line = ("build", "net.py:net", "-t", phone, "-f", "executorch", "--input", "tensor:1x8", "--out", "out")
    ended = command(*line, "-v")
    assert ended.code == 0, ended.err
    told = " ".join(ended.out.split())
    assert "in 2 parts" in told
    assert re.search(r"outside \S+-fp16.pte: aten::asinh at net.py:13", told)
    assert f"evaluated Core ML runs on macOS only; {EVALUATED}; {BESIDE}" in told
    (artifact,) = edgepack.check(here / "out" / "phone").artifacts
    assert artifact.figures.sqnr_db is not None
    assert artifact.figures.sqnr_db > 40, "half precision"
    assert {each.name: each.verdict for each in artifact.checks}["repeats"] == "pass"


def test_what_its_core_ml_part_cannot_carry(fashion: Source, tmp_path: Path) -> None:
    module = formats.load("executorch")
    assert module.capabilities(PHONE).refusal("w8a8") == "its Core ML part carries fp16, fp32, w8"
    assert module.capabilities(PHONE).refusal("w8") == ""
    assert module.variant(PHONE) == "iOS17"
    assert module.variant(target.load("raspberry-pi-5")) == ""
    with pytest.raises(ExportError, match="carries fp16, fp32, w8"):
        module.export(fashion, Recipe("w8a8"), PHONE, tmp_path / "net.pte")
    with pytest.raises(ExportError, match=r"layer stem in fp16: .* has one scheme for all layers"):
        module.export(fashion, Recipe("w8", {"stem": "fp16"}), PHONE, tmp_path / "net.pte")


@pytest.mark.parametrize(
    ("device", "name", "words"),
    [
        ("raspberry-pi-5", "executorch", "delegate = 'coreml' is for executorch on iOS"),
        ("iphone-15", "onnx", r"unknown key 'formats\.\d\.delegate'"),
    ],
)
def test_core_ml_is_executorch_s_delegate_on_ios_alone(
    tmp_path: Path, device: str, name: str, words: str
) -> None:
    own = (resources.targets() / f"{device}.toml").read_text(encoding="utf-8")
    path = tmp_path / "own.toml"
    path.write_text(own.replace(f'name = "{name}"', f'name = "{name}"\ndelegate = "coreml"'))
    with pytest.raises(TargetError, match=words):
        formats.load_target(str(path))


def test_a_file_without_a_core_ml_part_runs_without_the_evaluator(fashion: Source, tmp_path: Path) -> None:
    """The evaluator's own megabytes would be told as the file's."""
    path = tmp_path / "net.pte"
    formats.load("executorch").export(fashion, Recipe("fp32"), target.load("pixel-8"), path)
    code = (
        "import sys; from pathlib import Path; from edgepack import formats; "
        f"formats.load('executorch').load(Path({str(path)!r})); sys.exit('coremltools' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
