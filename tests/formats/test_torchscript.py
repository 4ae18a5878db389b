"""TorchScript: what each scheme writes, and that int8 is right on the kernels of this host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from edgepack.errors import ExportError
from edgepack.formats.torchscript import lower
from edgepack.model.source import Source
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName

Writer = Callable[[str], Callable[[Source, Recipe], Any]]


@pytest.mark.parametrize(
    ("scheme", "agreement", "sqnr", "share"),
    [("fp32", 1.0, 100.0, 0.0), ("w8a8", 0.97, 25.0, 1.0), ("w8d", 0.99, 35.0, 1 / 12)],
)
def test_each_scheme_agrees_with_float(
    writer: Writer, fashion: Source, scheme: SchemeName, agreement: float, sqnr: float, share: float
) -> None:
    written = writer("torchscript")(fashion, Recipe(scheme))
    assert written.agreement >= agreement
    assert written.sqnr > sqnr
    assert written.holds.quantized == pytest.approx(share)
    assert any("deprecated" in note for note in written.exported.notes)


def test_int8_is_small_and_its_layers_have_the_names_of_the_model(writer: Writer, clamped: Source) -> None:
    write = writer("torchscript")
    bytes_of = [
        {layer.name: layer.bytes for layer in write(clamped, Recipe(scheme)).holds.layers}
        for scheme in ("fp32", "w8a8")
    ]
    assert set(bytes_of[0]) == set(bytes_of[1])
    assert {"stem", "blocks.4.pointwise", "classifier"} <= set(bytes_of[1])
    assert bytes_of[1]["blocks.4.pointwise"] < 0.4 * bytes_of[0]["blocks.4.pointwise"]


def test_relu6_is_right_in_int8(writer: Writer, clamped: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """qnnpack's kernel of a convolution with a clamp answers at random on x86: it must not be there."""
    write = writer("torchscript")
    written = write(clamped, Recipe("w8a8"))
    assert written.sqnr > 20
    assert written.agreement > 0.95
    assert not [kind for kind in written.holds.operators if "relu" in kind or "hardtanh" in kind]
    monkeypatch.setattr(lower, "clamp_of", lambda node: None)  # no layer is given its clamp's range
    assert write(clamped, Recipe("w8a8")).sqnr < written.sqnr - 3


def test_layers_that_the_recipe_names_stay_in_float(writer: Writer, fashion: Source) -> None:
    recipe = Recipe("w8a8", {"stem": "fp32", "blocks.1": "fp32", "classifier": "w8d"})
    written = writer("torchscript")(fashion, recipe)
    assert written.holds.kept_float == ("stem", "blocks.1.depthwise", "blocks.1.pointwise")
    precisions = {layer.name: layer.precision for layer in written.holds.layers}
    assert precisions["stem"] == precisions["blocks.1.pointwise"] == "fp32"
    assert precisions["blocks.0.depthwise"] == precisions["classifier"] == "int8"
    assert written.holds.operators["quantized::linear_dynamic"] == 1
    assert written.agreement > 0.97


def test_the_ranges_given_are_the_ranges_used(writer: Writer, fashion: Source) -> None:
    write = writer("torchscript")
    assert write(fashion, Recipe("w8a8")).greatest > 5
    narrow = write(replace(fashion, ranges={"linear": (-1.0, 2.0)}), Recipe("w8a8"))
    assert -1.01 < narrow.least < -0.9
    assert 1.9 < narrow.greatest < 2.01


def test_what_lies_between_layers_is_right(writer: Writer, woven: Source) -> None:
    write = writer("torchscript")
    static, dynamic = write(woven, Recipe("w8a8")), write(woven, Recipe("w8d"))
    assert static.sqnr > 28
    assert dynamic.sqnr > 38
    assert static.holds.kept_float == ("up",)
    assert {"quantized::add", "quantized::mul", "quantized::cat"} <= set(static.holds.operators)
    assert any(note.endswith(": up") for note in static.exported.notes)
    assert dynamic.holds.kept_float == ("stem", "left", "right", "gate", "mix", "up")


def test_operators_between_float_layers_are_not_quantized(writer: Writer, woven: Source) -> None:
    recipe = Recipe("w8a8", dict.fromkeys(("stem", "left", "right", "mix", "gate", "up"), "fp32"))
    operators = writer("torchscript")(woven, recipe).holds.operators
    assert operators["quantized::linear"] == 2
    assert not {"quantized::add", "quantized::mul", "quantized::cat"} & set(operators)


def test_a_batch_that_is_free_stays_free_in_int8(writer: Writer, woven: Source) -> None:
    from torch.jit.mobile import _load_for_lite_interpreter

    from edgepack.silence import quiet

    written = writer("torchscript")(woven, Recipe("w8a8"))
    with quiet():
        module = _load_for_lite_interpreter(str(written.path))
    assert module(torch.zeros(3, 3, 16, 16))[0].shape == (3, 256, 6)


def test_int8_without_ranges_and_samples_is_refused(writer: Writer, fashion: Source) -> None:
    with pytest.raises(ExportError, match="--calib"):
        writer("torchscript")(replace(fashion, calib=None), Recipe("w8a8"))
