"""The order of a search: dynamic schemes first where linear layers work, never where they are slower."""

from __future__ import annotations

from edgepack import formats, scheme_order, target
from edgepack.model.source import Source
from edgepack.recipe import Step


def _ordered(format_name: str, source: Source) -> list[str]:
    device = target.load("raspberry-pi-5")
    choice = device.choice(format_name)
    assert choice is not None
    steps = [Step(format_name, scheme, "") for scheme in choice.schemes]
    table = formats.load(format_name).capabilities(device)
    return [step.scheme for step in scheme_order.ordered(steps, table, scheme_order.work_by_kind(source))]


def test_an_encoder_for_text_is_tried_in_dynamic_int8_first(reader: Source) -> None:
    assert _ordered("onnx", reader) == ["w8d", "w8a8", "w8", "fp32"]
    assert _ordered("executorch", reader) == ["w8d", "w8a8", "fp32"]


def test_convolutions_are_not_tried_in_a_scheme_that_is_slower_for_them(fashion: Source) -> None:
    assert _ordered("onnx", fashion) == ["w8a8", "w8", "fp32"]
    assert _ordered("executorch", fashion) == ["w8a8", "w8d", "fp32"]
