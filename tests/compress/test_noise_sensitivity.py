"""Noise sensitivity: the predicted noise of trained weights agrees with the measured change of outputs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

from edgepack.compress import noise_sensitivity
from edgepack.compress.calibration import float_graph
from edgepack.compress.noise_sensitivity import NoiseSensitivity
from edgepack.contract.samples import Samples
from edgepack.graph import layers as graphs
from edgepack.graph.guards import WithoutGuards
from edgepack.model import inference
from edgepack.model.source import Source

SAMPLES = 32
"""As many as `measure` runs backwards."""
DRAWS = 32
"""Random errors over which a measurement is a mean."""
DEVIATION = 1e-3
"""Standard deviation of the errors: small, so that the network is linear in them."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with inference.one_thread():
        yield


@pytest.fixture(scope="module")
def graph(small_source: Source) -> GraphModule:
    return float_graph(small_source)


@pytest.fixture(scope="module")
def samples(small_source: Source) -> Samples:
    assert small_source.calib is not None
    return small_source.calib.take(range(SAMPLES), "32")


@pytest.fixture(scope="module")
def sensitivity(graph: GraphModule, samples: Samples) -> NoiseSensitivity:
    return noise_sensitivity.measure(graph, samples)


def _measured(graph: GraphModule, samples: Samples, weight: Tensor) -> float:
    """Energy at the outputs for random errors of a weight, divided by the variance of the errors."""
    inputs = torch.cat([torch.from_numpy(sample[0]) for sample in samples.inputs])
    generator = torch.Generator().manual_seed(0)
    exact = weight.detach().clone()
    energies = []
    with torch.no_grad():
        run = WithoutGuards(graph).run  # a batch instead of one sample
        before = run(inputs)[0].double()
        for _ in range(DRAWS):
            weight.copy_(exact + DEVIATION * torch.randn(exact.shape, generator=generator))
            energies.append(float((run(inputs)[0].double() - before).square().sum()))
        weight.copy_(exact)
    return sum(energies) / (DRAWS * len(inputs) * DEVIATION**2)


def test_predicted_noise_of_weights_agrees_with_the_outputs(
    graph: GraphModule, samples: Samples, sensitivity: NoiseSensitivity
) -> None:
    layers = graphs.layers(graph).values()
    predicted = [float(sensitivity.weights[layer.name].sum()) for layer in layers]
    weights = [graphs.constant(graph, graphs.weight_of(layer)) for layer in layers]
    measured = [_measured(graph, samples, weight) for weight in weights]
    assert max(measured) > 3 * min(measured), "the layers differ in their sensitivity"
    assert predicted == pytest.approx(measured, rel=0.5)
