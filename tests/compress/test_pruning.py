"""Pruning: counts decrease, output shapes stay, and invalid requests are refused."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from edgepack.compress import pruning as prune
from edgepack.errors import PlanError, SourceError
from edgepack.model import capture, inference
from edgepack.model.source import Source


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with inference.one_thread():
        yield


def _module(fashion: Source) -> nn.Module:
    assert fashion.module is not None
    return fashion.module


class _Flat(nn.Module):
    """A model that returns a tuple, as edgepack captures it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output = self.model(*inputs)
        return output if isinstance(output, tuple) else (output,)


def test_half_of_the_channels_are_removed(fashion: Source) -> None:
    given = copy.deepcopy(_module(fashion).state_dict())
    pruned = prune.structured(_module(fashion), fashion.example, 0.5)
    assert pruned.before.parameters == 23_754
    assert pruned.before.multiply_adds == 2_274_880
    assert pruned.after.parameters < 0.35 * pruned.before.parameters
    assert pruned.after.multiply_adds < 0.35 * pruned.before.multiply_adds
    assert pruned.channels["stem"] == (16, 8)
    assert pruned.channels["blocks.4.pointwise"] == (128, 64)
    assert "classifier" not in pruned.channels
    assert all(torch.equal(given[name], each) for name, each in _module(fashion).state_dict().items())


def test_a_pruned_module_exports_with_the_same_output_shape(fashion: Source) -> None:
    pruned = prune.structured(_module(fashion), fashion.example, 0.5)
    program = capture.captured(pruned.module, fashion.example)
    (output,) = program.module()(*fashion.example)
    assert output.shape == (1, 10)
    assert torch.allclose(output, pruned.module(*fashion.example)[0], atol=1e-4)
    assert sum(each.numel() for each in program.state_dict.values()) < 0.35 * sum(
        each.numel() for each in fashion.exported.state_dict.values()
    )


def test_the_smallest_channels_are_removed_repeatably(fashion: Source) -> None:
    twice = [prune.structured(_module(fashion), fashion.example, 0.3).module for _ in range(2)]
    states = [each.state_dict() for each in twice]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    first, last = nn.Linear(4, 10), nn.Linear(10, 2)
    net = nn.Sequential(first, nn.ReLU(), last)
    with torch.no_grad():
        first.weight.copy_(torch.arange(10.0)[:, None].expand(10, 4).flip(0))
        last.weight.fill_(1.0)
    left = prune.structured(_Flat(net), (torch.randn(1, 4),), 0.3).module.state_dict()
    assert left["model.0.weight"][:, 0].tolist() == [9, 8, 7, 6, 5, 4, 3]


def test_channels_that_are_outputs_stay() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 16, 3)
            self.second = nn.Conv2d(16, 16, 3, groups=16)
            self.third = nn.Conv2d(16, 32, 1)
            self.last = nn.Conv2d(32, 5, 1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            features = self.second(self.first(x))
            return self.last(self.third(features).relu()), features.relu()

    example = (torch.randn(1, 3, 8, 8),)
    pruned = prune.structured(_Flat(Two()), example, 0.5)
    assert pruned.channels == {"third": (32, 16)}
    assert [each.shape[1] for each in pruned.module(*example)] == [5, 16]


def test_wide_layers_keep_a_multiple_of_eight() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 100, 1), nn.ReLU(), nn.Conv2d(100, 20, 1), nn.Conv2d(20, 12, 1), nn.Conv2d(12, 4, 1)
    )
    pruned = prune.structured(_Flat(net), (torch.randn(1, 3, 4, 4),), 0.3)
    assert pruned.channels == {"0": (100, 72), "2": (20, 16), "3": (12, 8)}
    few = prune.structured(_Flat(net), (torch.randn(1, 3, 4, 4),), 0.7)
    assert few.channels == {"0": (100, 32), "2": (20, 6), "3": (12, 4)}


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, 1.5])
def test_a_ratio_outside_0_to_1_is_refused(fashion: Source, ratio: float) -> None:
    for kind in (prune.structured, prune.unstructured):
        with pytest.raises(PlanError, match="between 0 and 1"):
            kind(_module(fashion), fashion.example, ratio)


def test_a_ratio_that_would_remove_a_whole_layer_is_refused(fashion: Source) -> None:
    with pytest.raises(PlanError, match=r"would remove the whole layer '\S+' of 16 channels") as caught:
        prune.structured(_module(fashion), fashion.example, 0.95)
    assert caught.value.hint == "a ratio of up to 0.93 leaves one channel"
    assert prune.structured(_module(fashion), fashion.example, 0.93).channels["stem"] == (16, 1)


def test_a_ratio_that_removes_no_channel_is_refused() -> None:
    net = _Flat(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)))
    with pytest.raises(PlanError, match="no channel"):
        prune.structured(net, (torch.randn(1, 8),), 0.05)


def test_a_forward_with_a_fixed_channel_count_is_refused() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 16, 3)
            self.linear = nn.Linear(16 * 4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.linear(self.conv(x).view(-1, 64))
            return out

    with pytest.raises(SourceError, match="pruned model does not run") as caught:
        prune.structured(_Flat(Fixed()), (torch.randn(1, 3, 4, 4),), 0.5)
    assert "number of channels" in caught.value.hint


def test_a_graph_without_layers_is_refused(fashion: Source) -> None:
    with pytest.raises(SourceError, match="the model is a graph"):
        prune.structured(fashion.exported.module(), fashion.example, 0.5)


def test_a_missing_torch_pruning_is_reported(
    process: Callable[..., object], without: Callable[..., dict[str, str]]
) -> None:
    code = "from edgepack.compress import pruning; print(pruning.cannot_prune())"
    ended = process(code=code, env=without("torch_pruning"))
    assert ended.out.strip() == "torch-pruning not installed; pip install 'edgepack[prune]'"  # type: ignore[attr-defined]
    assert prune.cannot_prune() == ""


@pytest.mark.parametrize("form", ["module", "graph"])
def test_single_weights_are_zero_where_they_are_smallest(fashion: Source, form: str) -> None:
    module = _module(fashion) if form == "module" else fashion.exported.module()
    pruned = prune.unstructured(module, fashion.example, 0.75)
    before, after = module.state_dict(), pruned.module.state_dict()
    pointwise = "model.blocks.4.pointwise.weight"
    zero = after[pointwise] == 0
    assert int(zero.sum()) == 0.75 * zero.numel()
    assert before[pointwise][zero].abs().max() <= before[pointwise][~zero].abs().min()
    assert torch.equal(after["model.blocks.4.depthwise.weight"], before["model.blocks.4.depthwise.weight"])
    assert pruned.after.nonzero < 0.4 * pruned.after.parameters
    assert pruned.after.multiply_adds == pruned.before.multiply_adds
    assert pruned.after.parameters == pruned.before.parameters


def test_the_two_largest_of_four_input_channels_stay(fashion: Source) -> None:
    pruned = prune.n_of_m(_module(fashion), fashion.example, 2, 4)
    before, after = _module(fashion).state_dict(), pruned.module.state_dict()
    name = "model.blocks.2.pointwise.weight"
    fours = after[name].squeeze().unflatten(1, (-1, 4))
    assert torch.equal((fours != 0).sum(2), torch.full(fours.shape[:2], 2))
    given = before[name].squeeze().unflatten(1, (-1, 4))
    assert torch.equal(fours.abs().sum(2), given.abs().sort(2).values[..., 2:].sum(2))
    assert torch.equal(after["model.stem.weight"], before["model.stem.weight"])


def test_each_kernel_position_is_sparse_along_the_channels() -> None:
    net = _Flat(nn.Conv2d(8, 8, 3))
    weight = prune.n_of_m(net, (torch.randn(1, 8, 5, 5),), 1, 4).module.state_dict()["model.weight"]
    assert torch.equal((weight.unflatten(1, (2, 4)) != 0).sum(2), torch.ones(8, 2, 3, 3, dtype=torch.long))


def test_a_pattern_that_keeps_all_weights_is_refused(fashion: Source) -> None:
    with pytest.raises(PlanError, match="4:4"):
        prune.n_of_m(_module(fashion), fashion.example, 4, 4)
