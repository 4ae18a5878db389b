"""Error feedback: palettes that come closer to the float model's answers, and are written as they are."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.fx import GraphModule

from edgepack import formats, plan, target
from edgepack.compress import gptq, ptq
from edgepack.compress.calibration import Calibration, float_graph
from edgepack.contract.samples import Samples
from edgepack.graph import layers as graph
from edgepack.graph.palettes import FEW
from edgepack.graph.quantization_grid import rounded_weight
from edgepack.model import inference, source
from edgepack.model.source import Source
from edgepack.options import BuildOptions
from edgepack.recipe import Recipe

GPTQ_P4 = Recipe("p4", gptq=True)
GROUPED = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2, padding=2, dilation=2), nn.ReLU(),
        nn.Conv2d(32, 64, (1, 3), padding=(0, 1), groups=2), nn.ReLU(),
        nn.Conv2d(64, 64, 5, groups=64, padding=2, bias=False), nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 2, 2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 8),
    ).eval()
"""


@pytest.fixture(scope="module")
def calibration(fashion: Source) -> Calibration:
    return Calibration(fashion)


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Layers of all kinds; no channel of what is drawn has a mean of zero."""
    folder = tmp_path_factory.mktemp("grouped")
    (folder / "net.py").write_text(GROUPED)
    drawn = np.random.default_rng(0).standard_normal((24, 3, 16, 16)).astype(np.float32) + 0.5
    np.savez(folder / "samples.npz", inputs=drawn)
    choices = BuildOptions(
        model=f"{folder / 'net.py'}:net",
        targets=("pixel-8",),
        inputs=("tensor:1x3x16x16",),
        calib=str(folder / "samples.npz"),
        eval=str(folder / "samples.npz"),
        out=str(folder / "out"),
    )
    return source.load(plan.resolve(choices))


def _weights(given: Source) -> dict[str, torch.Tensor]:
    module = _module(given)
    return {
        path: graph.constant(module, graph.weight_of(node)) for path, node in graph.layers(module).items()
    }


def _module(given: Source) -> GraphModule:
    module = given.exported.module()
    assert isinstance(module, GraphModule)
    return module


def _plain(given: Source, recipe: Recipe) -> Source:
    """Each weight at the nearest value of its palette, and no bias changed."""
    module = _module(given)
    for path in gptq.candidates(module, recipe):
        layer = graph.layers(module)[path]
        weight = graph.constant(module, graph.weight_of(layer)).detach()
        table = torch.from_numpy(gptq._table(weight, recipe.at(path).weight_bits))
        snapped = gptq.Palette(table).nearest(weight.double()).float()
        graph.set_constant(module, str(graph.weight_of(layer).target), snapped)
    return source.reweighted(given, module)


def _sqnr(given: Source, ready: Source) -> float:
    """Of the answers on the evaluation samples, in dB."""
    module = _module(ready)
    noise = signal = 0.0
    with torch.no_grad():
        for row, exact in list(zip(given.evaluation.inputs, given.reference))[:200]:
            answer = module(*inference.tensors(row))[0].numpy()
            noise += float(np.square(answer - exact[0], dtype=np.float64).sum())
            signal += float(np.square(exact[0], dtype=np.float64).sum())
    return 10 * math.log10(signal / noise)


@pytest.mark.parametrize(("scheme", "gain"), [("p4", 3.0), ("p6", 3.0)])
def test_answers_come_closer_to_the_float_models(
    fashion: Source, calibration: Calibration, scheme: str, gain: float
) -> None:
    recipe = Recipe(scheme, gptq=True)
    fed = _sqnr(fashion, ptq.prepare(calibration, recipe))
    assert fed > _sqnr(fashion, _plain(fashion, recipe)) + gain


def test_weights_lie_on_a_palette_a_tensor(fashion: Source, calibration: Calibration) -> None:
    floats, fed = _weights(fashion), _weights(ptq.prepare(calibration, GPTQ_P4))
    for path, weight in fed.items():
        few = weight.numel() <= FEW
        assert torch.equal(weight, floats[path]) if few else len(weight.unique()) <= 16, path
        assert few or torch.equal(weight.half().float(), weight)
    assert any(each.numel() > FEW for each in fed.values())


def test_it_is_the_same_each_time(fashion: Source, calibration: Calibration) -> None:
    states = [
        each.exported.state_dict
        for each in (ptq.prepare(calibration, GPTQ_P4), ptq.prepare(Calibration(fashion), GPTQ_P4))
    ]
    assert all(torch.equal(states[1][name], each) for name, each in states[0].items())


def test_a_source_is_left_alone_where_nothing_is_asked_for(fashion: Source, calibration: Calibration) -> None:
    before = {path: each.clone() for path, each in _weights(fashion).items()}
    assert ptq.prepare(calibration, Recipe("p4")) is fashion
    assert ptq.prepare(calibration, GPTQ_P4) is ptq.prepare(calibration, GPTQ_P4)
    assert all(torch.equal(before[path], each) for path, each in _weights(fashion).items())


def test_grouped_layers_are_fed_back_and_transposed_ones_stay(grouped: Source) -> None:
    floats, ready = _weights(grouped), ptq.prepare(Calibration(grouped), GPTQ_P4)
    fed = _weights(ready)
    kept = {path for path, weight in fed.items() if torch.equal(weight, floats[path])}
    assert kept == {"0", "4", "6"}, "two are small, one is transposed"
    assert _sqnr(grouped, ready) > _sqnr(grouped, _plain(grouped, GPTQ_P4)) + 3


def test_what_layers_read_is_what_they_compute_with(grouped: Source) -> None:
    """Weights times the columns that moments are made of are the layer's outputs, place by place."""

    class Check(torch.fx.Interpreter):
        checked = 0

        def run_node(self, n: torch.fx.Node) -> object:
            value = super().run_node(n)
            if graph.is_layer(n) and n.target not in graph.TRANSPOSED:
                before = n.args[0]
                assert isinstance(before, torch.fx.Node)
                weight = graph.constant(module, graph.weight_of(n))
                columns = gptq._columns(self.env[before], n, weight)
                rows = weight.reshape(columns.shape[0], -1, columns.shape[1])
                ours = (rows @ columns).flatten(0, 1)
                bias = graph.bias_of(n)
                ours = ours if bias is None else ours + graph.constant(module, bias)[:, None]
                assert torch.allclose(ours, value.transpose(0, 1).flatten(1), atol=1e-4), n
                self.checked += 1
            return value

    module = _module(grouped)
    check = Check(module)
    with torch.no_grad():
        check.run(*grouped.example)
    assert check.checked == 4


def test_layers_that_are_too_wide_get_the_nearest_values_and_a_bias(
    grouped: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gptq, "_WIDEST", 0)
    ready, plain = ptq.prepare(Calibration(grouped), GPTQ_P4), _plain(grouped, GPTQ_P4)
    assert all(torch.equal(each, _weights(plain)[path]) for path, each in _weights(ready).items())
    assert _sqnr(grouped, ready) > _sqnr(grouped, plain) + 1


def test_rounds_and_blocks_change_nothing(
    fashion: Source, calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gptq, "_ROOM", 0)
    monkeypatch.setattr(gptq, "_BLOCK", 7)
    one, other = (
        _sqnr(fashion, each)
        for each in (ptq.prepare(calibration, GPTQ_P4), ptq.prepare(Calibration(fashion), GPTQ_P4))
    )
    assert one == pytest.approx(other, abs=0.5)


def test_the_written_package_holds_the_very_same_weights(
    fashion: Source, calibration: Calibration, tmp_path: Path
) -> None:
    ready = ptq.prepare(calibration, GPTQ_P4)
    module = formats.load("coreml")
    if problem := module.availability().export:
        pytest.skip(problem)
    path = tmp_path / "net.mlpackage"
    module.export(ready, GPTQ_P4, target.load("iphone-15"), path)
    import dense  # brings coremltools, which export has imported without its warnings

    read = dense.read(path)
    assert read
    for place, weight in _weights(ready).items():
        if weight.numel() > FEW:
            assert np.array_equal(read[place][0], weight.numpy()), place


@pytest.mark.parametrize("given", ["fashion", "grouped"])
def test_int8_weights_stay_on_the_grid_that_formats_find(given: str, request: pytest.FixtureRequest) -> None:
    calibration = Calibration(request.getfixturevalue(given))
    exact, _ = ptq.quantize(calibration, Recipe("w8a8"))
    module, _ = ptq.quantize(calibration, Recipe("w8a8", gptq=True))
    changed = 0
    for path, layer in graph.layers(module).items():
        weight = graph.constant(module, graph.weight_of(layer))
        before = graph.constant(exact, graph.weight_of(graph.layers(exact)[path]))
        if layer.target not in graph.TRANSPOSED:
            torch.testing.assert_close(rounded_weight(weight, layer), weight, rtol=1e-5, atol=1e-7)
            torch.testing.assert_close(weight.flatten(1).abs().amax(1), before.flatten(1).abs().amax(1))
            changed += not torch.allclose(weight, rounded_weight(before, layer), rtol=1e-5, atol=1e-7)
    assert changed > 2, "not just rounded"


def test_schemes_with_the_same_weights_share_them(fashion: Source, calibration: Calibration) -> None:
    path = next(iter(graph.layers(float_graph(fashion))))
    solver = ptq.gptq_of(calibration, "none")
    one, other = (solver.layers({path: [scheme]})[path, scheme] for scheme in ("w8a8", "w8"))
    assert one is other


def test_int8_weights_of_each_layer_lose_less_than_by_rounding(
    calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _ = ptq.quantize(calibration, Recipe("w8a8"))
    wanted = {path: ["w8a8"] for path in gptq.candidates(module, Recipe("w8a8"))}
    fed = gptq.GPTQ(module, calibration.samples).layers(wanted)
    monkeypatch.setattr(gptq, "_round_rows", lambda rows, grid, inputs: grid.nearest(rows))
    rounded = gptq.GPTQ(module, calibration.samples).layers(wanted)
    assert fed.keys() == rounded.keys()
    for key, snapped in fed.items():
        assert snapped.noise < 0.85 * rounded[key].noise, key


def test_inputs_that_hardly_vary_are_no_failure() -> None:
    """Moments of constants, far from zero, are no positive definite matrix in 32-bit floats."""

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(32, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            given: torch.Tensor = self.layer(x)
            return given

    torch.manual_seed(0)
    drawn = np.random.default_rng(0)
    base = drawn.uniform(1000, 2000, (1, 32)).astype(np.float32)
    rows = [base + drawn.normal(0, 1e-4, (1, 32)).astype(np.float32) for _ in range(40)]
    samples = Samples(tuple((row,) for row in rows), None, "drawn")
    module = torch.export.export(Net().eval(), (torch.from_numpy(rows[0]),)).module()
    assert isinstance(module, GraphModule)
    (layer,) = gptq.GPTQ(module, samples).layers({"layer": ["w8a8"]}).values()
    assert layer.bias is not None
    error = torch.from_numpy(base) @ layer.weight.T + layer.bias - module(torch.from_numpy(base))
    assert error.abs().max() < 0.05  # the bias compensates for the mean
