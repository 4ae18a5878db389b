"""ExecuTorch: what each scheme writes, that a ReLU6 is joined to its layer, and kernels that mislead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edgepack.errors import ExportError
from edgepack.model.source import Source
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName

pytest.importorskip("executorch")

Writer = Callable[[str], Callable[[Source, Recipe], Any]]


@pytest.mark.parametrize(
    ("scheme", "agreement", "sqnr", "share"),
    [
        ("fp16", 0.99, 45.0, 0.0),
        ("w8a8", 0.97, 25.0, 1.0),
        ("w8d", 0.98, 35.0, 6 / 12),
        ("w4d", 0.97, 20.0, 1 / 12),
    ],
)
def test_each_scheme_agrees_with_float(
    writer: Writer, fashion: Source, scheme: SchemeName, agreement: float, sqnr: float, share: float
) -> None:
    written = writer("executorch")(fashion, Recipe(scheme))
    assert written.agreement >= agreement
    assert written.sqnr > sqnr
    assert written.holds.quantized == pytest.approx(share)


def test_half_precision_halves_every_layer(writer: Writer, woven: Source) -> None:
    written = writer("executorch")(woven, Recipe("fp16"))
    assert written.sqnr > 45
    precisions = {layer.operator: layer.precision for layer in written.holds.layers}
    assert precisions.pop("XNNConvTranspose2d") == "fp32"
    assert set(precisions.values()) == {"fp16"}
    assert [each.dtype for each in (*written.holds.inputs, *written.holds.outputs)] == ["float32"] * 2


def test_joining_the_clamps_brings_the_int8_file_closer(
    writer: Writer, clamped: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )

    from edgepack.formats.executorch import program

    write = writer("executorch")
    joined = write(clamped, Recipe("w8a8"))
    theirs = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    monkeypatch.setattr(program, "RecipeQuantizer", lambda recipe: theirs)
    assert joined.sqnr > 20
    assert joined.sqnr > write(clamped, Recipe("w8a8")).sqnr + 0.5
    assert joined.holds.quantized == 1
    assert joined.holds.delegated == 1


def test_layers_that_the_recipe_names_stay_in_float(writer: Writer, fashion: Source) -> None:
    recipe = Recipe("w8a8", {"stem": "fp32", "blocks.1": "fp32", "classifier": "w4d"})
    written = writer("executorch")(fashion, recipe)
    assert written.holds.kept_float == ("XNNDepthwiseConv2d #1", "XNNDepthwiseConv2d #3", "XNNConv2d #2")
    precisions = {layer.name: layer.precision for layer in written.holds.layers}
    assert precisions["XNNDepthwiseConv2d #1"] == precisions["XNNConv2d #2"] == "fp32"
    assert precisions["XNNConv2d #1"] == precisions["XNNConv2d #3"] == "int8"
    assert precisions["XNNFullyConnected #1"] == "int4"
    assert written.agreement > 0.97


def test_the_ranges_given_are_the_ranges_used(writer: Writer, fashion: Source) -> None:
    write = writer("executorch")
    narrow = write(replace(fashion, ranges={"linear": (-1.0, 2.0)}), Recipe("w8a8"))
    assert -1.01 < narrow.least < -0.9
    assert 1.9 < narrow.greatest < 2.01


def test_what_lies_between_layers_is_right(writer: Writer, woven: Source) -> None:
    written = writer("executorch")(woven, Recipe("w8a8"))
    assert written.sqnr > 28
    assert written.holds.quantized == 1
    assert written.holds.operators["XNNStaticConstantPad"] == 1


def test_operators_between_float_layers_are_not_quantized(writer: Writer, woven: Source) -> None:
    recipe = Recipe("w8a8", dict.fromkeys(("stem", "left", "right", "mix", "gate", "up"), "fp32"))
    written = writer("executorch")(woven, recipe)
    assert written.holds.quantized == pytest.approx(2 / 8)
    assert written.holds.operators["XNNConvert"] == 2


def test_dynamic_convolutions_that_read_one_tensor_are_right(
    writer: Writer, woven: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes made at run time and shared by kernels of 1 and 3 pixels are read wrongly by XNNPACK."""
    from edgepack.formats.executorch import program
    from edgepack.formats.executorch.quantizer import RecipeQuantizer

    class Sharing(RecipeQuantizer):
        def annotate(self, model: Any) -> Any:
            for node in super().annotate(model).graph.nodes:
                if "quantization_annotation" in node.meta:
                    node.meta["quantization_annotation"].allow_implicit_sharing = True
            return model

    write = writer("executorch")
    written = write(woven, Recipe("w8d"))
    assert written.sqnr > 35
    assert written.holds.kept_float == ("XNNConv2d #5",)
    assert any(note.endswith("dynamic int8 needs): mix") for note in written.exported.notes)
    monkeypatch.setattr(program, "RecipeQuantizer", Sharing)
    assert write(woven, Recipe("w8d")).sqnr < 25


def test_dynamic_convolutions_need_the_channels_last(
    writer: Writer, woven: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a product with a number XNNPACK holds the channels first, and the program fails."""
    from edgepack.formats.executorch import quantizer

    monkeypatch.setattr(quantizer, "_is_channels_last", lambda value: True)
    with pytest.raises(RuntimeError, match="execute"):
        writer("executorch")(woven, Recipe("w8d"))


def test_four_bits_in_the_linear_layers_alone(writer: Writer, woven: Source) -> None:
    written = writer("executorch")(woven, Recipe("w4d"))
    assert written.sqnr > 15
    assert written.holds.quantized == pytest.approx(2 / 8)
    assert {layer.precision for layer in written.holds.layers if "Fully" in layer.operator} == {"int4"}
    assert any(note.endswith("stem, left, right, gate, mix, up") for note in written.exported.notes)


def test_int8_without_ranges_and_samples_is_refused(writer: Writer, fashion: Source) -> None:
    with pytest.raises(ExportError, match="--calib"):
        writer("executorch")(replace(fashion, calib=None), Recipe("w8a8"))


def test_an_encoder_for_text_is_in_dynamic_int8(writer: Writer, reader: Source) -> None:
    """Its embedding, too; and XNNPACK takes its attention."""
    write = writer("executorch")
    wide, written = write(reader, Recipe("fp32")), write(reader, Recipe("w8d"))
    assert wide.sqnr > 100
    assert written.sqnr > 25
    assert written.holds.quantized == 1
    assert not written.exported.notes
    assert written.path.stat().st_size < 0.4 * wide.path.stat().st_size
    assert "aten::embedding" in written.holds.outside
    assert not [name for name in written.holds.outside if "softmax" in name or "where" in name]


def test_static_int8_keeps_out_of_the_indices_of_an_embedding(writer: Writer, reader: Source) -> None:
    written = writer("executorch")(reader, Recipe("w8a8"))
    assert written.holds.quantized == 1
    assert written.sqnr > 10
