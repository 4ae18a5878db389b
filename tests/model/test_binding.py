"""Inputs are bound to a model's parameters: by name where the names are its parameters, else in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toy_models import exported, load, refused, scripted, work_folder

from edgepack.errors import SourceError
from edgepack.model import binding
from edgepack.model.binding import Binding

Tensor = torch.Tensor


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = work_folder(tmp_path, monkeypatch)
    (work / "masked.py").write_text(MASKED)
    return work


MASKED = """
import torch
from torch import nn


class Masked(nn.Module):
    def forward(self, ids, kind=None, mask=None):
        out = ids * 1.0
        out = out if kind is None else out + 100 * kind
        return out if mask is None else out * mask


class Rest(nn.Module):
    def forward(self, ids, **more):
        return ids - more["mask"]


masked = Masked()
wrapped = nn.DataParallel(Masked())
averaged = torch.optim.swa_utils.AveragedModel(Masked())
rest = Rest()
"""


class Masked(nn.Module):
    """Of masked.py, with types for TorchScript."""

    def forward(self, ids: Tensor, kind: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        out = ids * 1.0
        if kind is not None:
            out = out + 100 * kind
        if mask is not None:
            out = out * mask
        return out


NAMED = ("ids=tensor:1x8", "mask=tensor:1x8")


@pytest.mark.parametrize("inputs", [NAMED, NAMED[::-1]])
@pytest.mark.parametrize("name", ["masked", "wrapped", "averaged"])
def test_names_that_are_parameters_bind_whatever_the_order(name: str, inputs: tuple[str, ...]) -> None:
    found = load(f"masked.py:{name}", inputs)
    one, other = found.evaluation.inputs[0]
    np.testing.assert_array_equal(found.reference[0][0], one * other)
    (captured,) = found.exported.module()(torch.from_numpy(one), torch.from_numpy(other))
    np.testing.assert_array_equal(captured.numpy(), one * other)
    assert not any("bound" in note for note in found.notes)


def test_names_that_are_no_parameters_bind_in_order_and_that_is_told() -> None:
    found = load("masked.py:masked", ("ids=tensor:1x8", "attention=tensor:1x8"))
    one, other = found.evaluation.inputs[0]
    np.testing.assert_array_equal(found.reference[0][0], one + 100 * other)
    (note,) = [note for note in found.notes if "bound" in note]
    assert note.endswith("ids → ids, attention → kind")


def test_keywords_that_are_not_declared_one_by_one() -> None:
    found = load("masked.py:rest", NAMED)
    one, other = found.evaluation.inputs[0]
    np.testing.assert_array_equal(found.reference[0][0], one - other)


def test_torchscript_and_exported_programs_bind_by_name(folder: Path) -> None:
    scripted(folder / "masked.pt", Masked())
    mask = (torch.ones(1, 8), torch.zeros(1, 8), torch.ones(1, 8))
    exported(folder / "masked.pt2", Masked(), *mask)
    inputs = ("mask=tensor:1x8", "kind=tensor:1x8", "ids=tensor:1x8")
    for model in ("masked.pt", "masked.pt2"):
        found = load(model, inputs)
        by_mask, kind, ids = found.evaluation.inputs[0]
        wanted = (ids + 100 * kind) * by_mask
        np.testing.assert_allclose(found.reference[0][0], wanted, rtol=1e-6)
        (captured,) = found.exported.module()(*[torch.from_numpy(each) for each in (by_mask, kind, ids)])
        np.testing.assert_allclose(captured.numpy(), wanted, rtol=1e-6)


def test_an_optional_parameter_of_torchscript_may_be_left_out(folder: Path) -> None:
    scripted(folder / "masked.pt", Masked())
    found = load("masked.pt", NAMED[::-1])
    mask, ids = found.evaluation.inputs[0]
    (captured,) = found.exported.module()(torch.from_numpy(mask), torch.from_numpy(ids))
    np.testing.assert_allclose(captured.numpy(), mask * ids, rtol=1e-6)


def test_a_required_parameter_that_is_not_given() -> None:
    said = refused(model="masked.py:masked", inputs=("mask=tensor:1x8",))
    assert "the model needs 'ids', too: its forward takes (ids, kind, mask)" in said
    assert "--input ids=tensor:…" in said


@pytest.mark.parametrize(
    ("model", "names", "wanted"),
    [
        (lambda x, y: 0, ("x", "y"), Binding((0, 1))),
        (lambda x, y: 0, ("y", "x"), Binding((1, 0))),
        (lambda x, y=0, z=0: 0, ("z", "x"), Binding((1,), (("z", 0),))),
        (lambda x, *, m: 0, ("x", "m"), Binding((0,), (("m", 1),))),
        (lambda x, *, m: 0, ("a", "b"), Binding((0,), (("m", 1),))),
        (lambda *, m, n=0: 0, ("n", "m"), Binding((), (("n", 0), ("m", 1)))),
        (lambda x, **more: 0, ("image",), Binding((0,))),
        (lambda x, **more: 0, ("x", "a"), Binding((0,), (("a", 1),))),
        (lambda *args, **more: 0, ("a", "b"), Binding((0, 1))),
        (lambda x, y, /: 0, ("y", "x"), Binding((1, 0))),
        (max, ("a", "b"), Binding((0, 1))),
    ],
)
def test_bindings(model: Callable[..., Any], names: tuple[str, ...], wanted: Binding) -> None:
    assert binding.bound(binding.signature_of(model), names)[0] == wanted


@pytest.mark.parametrize(
    ("model", "names", "words"),
    [
        (lambda x, y: 0, ("a",), "needs 'y', too"),
        (
            lambda x: 0,
            ("a", "b"),
            "takes fewer than 2 inputs: its forward takes (x), the inputs are 'a', 'b'",
        ),
        (lambda *, m: 0, ("a", "b"), "takes fewer than 2 inputs"),
        (lambda x, *, m: 0, ("x",), "needs 'm', too"),
        (lambda x, *, m: 0, ("a",), "needs 'x', too"),
        (lambda x=0, y=0, /: 0, ("y",), "'y' is a positional parameter"),
    ],
)
def test_bindings_that_cannot_be(model: Callable[..., Any], names: tuple[str, ...], words: str) -> None:
    with pytest.raises(SourceError) as raised:
        binding.bound(binding.signature_of(model), names)
    assert words in str(raised.value)
