"""Weights that were read back in the place of the model's: exact where they are, and refused where not."""

from __future__ import annotations

import numpy as np
import pytest
from torch.fx import GraphModule

from edgepack.compress import graph
from edgepack.emulator import weights as stand_in
from edgepack.emulator.weights import Weights
from edgepack.errors import ExportError
from edgepack.samples import Array
from edgepack.source import Source


@pytest.fixture
def own(small_source: Source) -> dict[str, tuple[Array, Array | None]]:
    """The model's weights and biases by module path, as a file's are read back."""
    module = small_source.exported.module()
    assert isinstance(module, GraphModule)
    found: dict[str, tuple[Array, Array | None]] = {}
    for path, layer in graph.layers(module).items():
        bias = graph.bias_of(layer)
        assert bias is not None
        pair = (graph.constant(module, each).detach().numpy() for each in (graph.weight_of(layer), bias))
        weight, shift = pair
        found[path] = weight.copy(), shift.copy()
    return found


def _off(source: Source, weights: Weights) -> float:
    """Greatest difference from the float model's answers."""
    given = stand_in.answers(source, weights)
    assert len(given) == len(source.reference)
    return max(float(np.abs(a[0] - b[0]).max()) for a, b in zip(given, source.reference))


def test_the_model_s_own_weights_give_its_own_answers(small_source: Source, own: dict) -> None:
    assert _off(small_source, own) < 1e-4
    assert _off(small_source, {path: (weight, None) for path, (weight, _) in own.items()}) < 1e-4


def test_what_the_file_lost_shows_in_the_answers_and_the_model_stays(small_source: Source, own: dict) -> None:
    rough = {path: (weight.astype(np.float16), bias) for path, (weight, bias) in own.items()}
    assert 1e-5 < _off(small_source, rough) < 0.1
    weight, bias = own["classifier"]
    shifted = {**own, "classifier": (weight, bias + 1)}
    assert _off(small_source, shifted) == pytest.approx(1, abs=1e-3)
    assert _off(small_source, own) < 1e-4


def test_a_layer_that_is_missing_or_of_another_shape_is_refused(small_source: Source, own: dict) -> None:
    lacking = {path: pair for path, pair in own.items() if path != "blocks.1.pointwise"}
    with pytest.raises(ExportError, match=r"holds no weight of layer blocks\.1\.pointwise"):
        stand_in.answers(small_source, lacking)
    weight, bias = own["stem"]
    told = r"holds model\.stem\.weight as \(16, 9\), the model as \(16, 1, 3, 3\)"
    with pytest.raises(ExportError, match=told):
        stand_in.answers(small_source, {**own, "stem": (weight.reshape(16, 9), bias)})
