"""SmoothQuant: scaled channels leave the float outputs, and lose less by dynamic int8."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sources import Write

from edgepack.compress import ptq, smoothquant
from edgepack.compress.calibration import Calibration, float_graph
from edgepack.graph import layers as graphs
from edgepack.graph.layers import ATEN
from edgepack.model.source import Source
from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES

SMOOTH = Recipe("w8d", equalize="exact", gptq=True)


@pytest.mark.parametrize("rows", [False, True])
def test_scales_leave_the_float_outputs_and_take_out_most_of_the_noise(rows: bool, reader: Source) -> None:
    graph = float_graph(reader)
    schemes = dict.fromkeys(graphs.layers(graph), SCHEMES["w8d"])
    assert reader.calib is not None
    count = smoothquant.smooth(graph, reader.calib, schemes, rows=rows, inside="none")
    assert count >= 2
    # both inputs that stand out come from a normalization that nothing else reads
    added = [
        node for node in graph.graph.nodes if node.target is ATEN.mul.Tensor and "smoothing" in str(node.args)
    ]
    assert len(added) <= count - 2
    with torch.no_grad():
        for sample, wanted in zip(reader.evaluation.inputs, reader.reference):
            (found,) = graph(*(torch.from_numpy(each) for each in sample))
            assert np.allclose(found.numpy(), wanted[0], rtol=1e-4, atol=1e-5)
    read_loudly = graphs.constant(graph, graphs.weight_of(graphs.layers(graph)["block.up"])).abs().amax(0)
    assert read_loudly[3] > 0.3 * read_loudly.median()  # 0.03 of it before


def test_layers_that_the_recipe_keeps_in_float_are_not_scaled(reader: Source) -> None:
    graph = float_graph(reader)
    assert reader.calib is not None
    schemes = dict.fromkeys(graphs.layers(graph), SCHEMES["fp32"])
    before = {name: value.clone() for name, value in graph.state_dict().items()}
    assert smoothquant.smooth(graph, reader.calib, schemes, rows=False, inside="none") == 0
    assert all(torch.equal(value, before[name]) for name, value in graph.state_dict().items())


def test_a_prepared_source_gives_a_better_file(reader: Source, writer: Callable[[str], Write]) -> None:
    write = writer("onnx")
    plain = write(reader, Recipe("w8d"))
    prepared = write(ptq.prepare(Calibration(reader), SMOOTH), SMOOTH)
    assert prepared.sqnr > plain.sqnr + 6
