"""A file in which nothing is quantized is float, and is called so."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepack import formats, plan
from edgepack.formats import stored_scheme
from edgepack.model import source
from edgepack.options import BuildOptions
from edgepack.pipeline import build
from edgepack.recipe import Recipe


@pytest.mark.parametrize(
    ("name", "device", "scheme", "words"),
    [
        ("coreml", "iphone-15", "p6", "Core ML keeps weights of fewer than 2049 values in float"),
        ("onnx", "raspberry-pi-5", "w8", "onnx keeps weights of fewer than 1024 values in float"),
        ("torchscript", "pixel-8", "w8d", ""),
    ],
)
def test_a_small_net_is_float_under_a_format_s_threshold(
    here: Path, name: str, device: str, scheme: str, words: str
) -> None:
    loaded = source.load(
        plan.resolve(BuildOptions(model="net.py:net", targets=(device,), inputs=("tensor:1x8",)))
    )
    module, target = formats.load(name), formats.load_target(device)
    path = here / f"net{module.suffix}"
    recipe = Recipe(scheme)
    module.export(loaded, recipe, target, path)
    reason = stored_scheme.float_reason(module.describe(path), recipe, module.capabilities(target))
    assert words in reason
    assert bool(reason) == bool(words)
    assert not stored_scheme.float_reason(module.describe(path), Recipe("fp32"), module.capabilities(target))


def test_a_build_calls_a_file_float_in_which_nothing_is_quantized(here: Path) -> None:
    options = BuildOptions(
        model="net.py:net",
        targets=("raspberry-pi-5",),
        formats=("onnx",),
        inputs=("tensor:1x8",),
        emulator=False,
        scheme="w8",
    )
    (report,) = build(plan.resolve(options))
    assert {artifact.scheme for artifact in report.artifacts} == {"fp32"}
    assert all(Path(artifact.file).stem.endswith("-fp32") for artifact in report.artifacts)
    assert any("w8 quantizes nothing in this model" in note for note in report.artifacts[0].notes)
    assert "as asked for by hand: w8 quantizes nothing" in report.tried[-1].outcome
