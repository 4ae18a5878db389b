"""Pruning: whole channels out of a module, or single weights set to zero. By magnitude, without samples."""

from __future__ import annotations

import copy
import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule

from edgepack.compress.counts import count
from edgepack.errors import ExportError, PlanError, SourceError, first_line
from edgepack.graph import layers as graph
from edgepack.report import Counts
from edgepack.silence import quiet

EXTRA = "prune"
_WIDE = 16
"""A layer of so many channels or more keeps a multiple of `_TILE`."""
_TILE = 8
"""Channels that float and int8 kernels compute at once (XNNPACK's and MLAS's tiles are multiples)."""
_TINY = 512
"""Fewer weights than this are not worth the zeros."""

Example = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class PrunedModule:
    """A smaller module, and by how much."""

    module: nn.Module
    before: Counts
    after: Counts
    kept: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Output channels before and after, by module path, of the layers that lost some."""


def cannot_prune() -> str:
    """What `structured` needs and is not installed, with the command that brings it; else empty."""
    missing = importlib.util.find_spec("torch_pruning") is None
    return f"torch-pruning not installed; pip install 'edgepack[{EXTRA}]'" if missing else ""


def structured(module: nn.Module, example: Example, ratio: float) -> PrunedModule:
    """A copy of `module` without `ratio` of the channels of every layer that can lose some.

    `ratio` is the share of a layer's output channels: 0.5 leaves half of them, and so about a quarter
    of the multiply-adds. Layers that share channels (residual adds, depthwise convolutions) lose the
    same ones; layers whose channels are the model's outputs lose none. Which go: those with the least
    L2 norm of all weights that write and read them, as torch-pruning finds them (Fang et al. 2023,
    DepGraph, arXiv:2301.12900), a share of each layer. The same module and ratio give the same result.

    Raises PlanError where the ratio is no share, would remove a whole layer or nothing at all,
    SourceError where the module cannot be traced or does not run once it is smaller, and ExportError
    where torch-pruning is not installed.
    """
    _check_ratio(ratio)
    if reason := cannot_prune():
        raise ExportError(reason)
    with quiet():
        smaller = copy.deepcopy(module).eval().requires_grad_(True)
    widths = _widths(smaller)
    if not widths:
        raise SourceError(
            "structured pruning finds no layers: the model is a graph, not made of nn.Conv and nn.Linear",
            hint="give the model as Python code, or prune single weights instead of channels",
        )
    with quiet():
        _take_out(smaller, example, ratio)
    before, after = _both(module, smaller, example)
    kept = {path: (widths[path], width) for path, width in _widths(smaller).items() if width != widths[path]}
    if not kept:
        raise PlanError(f"pruning by {ratio:g} takes out no channel: the layers are too narrow for it")
    return PrunedModule(smaller, before, after, kept)


def unstructured(module: nn.Module, example: Example, ratio: float) -> PrunedModule:
    """A copy of `module` in which `ratio` of the weights of each layer are zero, the smallest ones.

    Of convolutions and linear layers (`_prunable`), layer by layer (Zhu and Gupta 2017,
    arXiv:1710.01878). Neither the shapes nor the multiply-adds change: it serves formats that store
    zeros for nothing. Raises PlanError where the ratio is no share.
    """
    _check_ratio(ratio)

    def mask(weight: torch.Tensor) -> torch.Tensor:
        zeros = round(ratio * weight.numel())
        order = weight.abs().flatten().argsort(stable=True)
        return torch.ones(weight.numel()).index_fill(0, order[:zeros], 0).view(weight.shape)

    return _masked(module, example, mask)


def n_of_m(module: nn.Module, example: Example, n: int = 2, m: int = 4) -> PrunedModule:
    """A copy of `module` in which at most `n` of every `m` input channels' weights are not zero.

    The `m` are consecutive along the input channels, for each output channel and each place in the
    kernel, as TensorRT wants it for its sparse kernels ("I/O Formats and Sparsity", TensorRT
    documentation) and cuSPARSELt for its matrices; the largest are kept (Mishra et al. 2021,
    arXiv:2104.08378). Layers whose input channels are no multiple of `m` stay as they are.
    Raises PlanError unless 0 < n < m.
    """
    if not 0 < n < m:
        raise PlanError(f"{n}:{m} is no sparsity: it keeps {n} of every {m} weights")

    def mask(weight: torch.Tensor) -> torch.Tensor:
        if weight.shape[1] % m:
            return torch.ones_like(weight)
        channels_last = weight.movedim(1, -1)
        fours = channels_last.reshape(-1, m)
        order = fours.abs().argsort(dim=1, descending=True, stable=True)
        kept = torch.zeros_like(fours).scatter_(1, order[:, :n], 1)
        return kept.view(channels_last.shape).movedim(-1, 1)

    return _masked(module, example, mask)


def _check_ratio(ratio: float) -> None:
    if not 0 < ratio < 1:
        raise PlanError(f"a pruning ratio is a share between 0 and 1, not {ratio:g}")


def _both(module: nn.Module, smaller: nn.Module, example: Example) -> tuple[Counts, Counts]:
    """Counts before and after. Raises SourceError where the smaller module does not answer alike."""
    try:
        shapes = [_shapes(each, example) for each in (module, smaller)]
    except Exception as cause:  # whatever the user's code raises
        raise SourceError(
            f"the pruned model does not run: {first_line(cause)}",
            hint="its forward may hold a number of channels: take it from the tensor's shape instead",
        ) from cause
    if shapes[0] != shapes[1]:
        raise SourceError(f"pruning would change the outputs from {shapes[0]} to {shapes[1]}")
    return count(module, example), count(smaller, example)


def _shapes(module: nn.Module, example: Example) -> list[list[int]]:
    with torch.no_grad():
        return [list(each.shape) for each in module(*example)]


def _widths(module: nn.Module) -> dict[str, int]:
    """Output channels of the layers by module path."""
    return {
        graph.path_of(f"{name}.weight"): each.weight.shape[each.transposed if _is_conv(each) else 0]
        for name, each in module.named_modules()
        if _is_conv(each) or isinstance(each, nn.Linear)
    }


def _is_conv(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.conv._ConvNd)


def _take_out(module: nn.Module, example: Example, ratio: float) -> None:
    """Prune `module` in place with torch-pruning."""
    import torch_pruning

    answers: list[Any] = []

    def noted(outputs: Any) -> Any:
        answers.extend(outputs)
        return outputs

    try:
        tracer = torch_pruning.DependencyGraph()
        tracer.build_dependency(module, example_inputs=example, output_transform=noted)
        groups = list(tracer.get_all_groups())
    except Exception as cause:  # torch-pruning documents no errors of its own
        raise SourceError(f"torch-pruning cannot trace the model: {first_line(cause)}") from cause
    ends = {id(each.grad_fn) for each in answers}
    fixed = [group for group in groups if _reaches(group, ends, tracer)]
    free = [group for group in groups if not _reaches(group, ends, tracer)]
    shares = _shares(free, ratio, tracer)
    try:
        torch_pruning.pruner.BasePruner(
            module,
            example,
            torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=0.0,
            pruning_ratio_dict=shares,
            ignored_layers=[group[0].dep.target.module for group in fixed],
            in_channel_groups={},  # its defaults are dicts that all pruners share
            out_channel_groups={},
        ).step()
    except Exception as cause:
        raise SourceError(f"torch-pruning cannot prune the model: {first_line(cause)}") from cause


def _reaches(group: Any, ends: set[int], tracer: Any) -> bool:
    """Whether a group's channels are those of an output of the model."""
    return any(id(dep.target.grad_fn) in ends and not _only_reads(dep, tracer) for dep, _ in group)


def _only_reads(dep: Any, tracer: Any) -> bool:
    """Whether the dependency is a layer that takes the channels in and gives others out."""
    return tracer.is_in_channel_pruning_fn(dep.handler) and not tracer.is_out_channel_pruning_fn(dep.handler)


def _shares(groups: list[Any], ratio: float, tracer: Any) -> dict[nn.Module, float]:
    """The share to take out of each group, by its first layer, so that a whole number is left.

    Raises PlanError where no channel of some layer would be left.
    """
    widths = {group[0].dep.target: tracer.get_out_channels(group[0].dep.target.module) for group in groups}
    kept = {node: round(width * (1 - ratio), 6) for node, width in widths.items()}
    narrowest = min(kept, key=lambda node: kept[node], default=None)
    if narrowest is not None and kept[narrowest] < 1:
        width, path = widths[narrowest], graph.path_of(f"{narrowest._name}.weight")
        raise PlanError(
            f"pruning by {ratio:g} would remove the whole layer '{path}' of {width} channels",
            hint=f"up to {math.floor(100 - 100 / width) / 100:g} leaves it one",
        )
    return {node.module: 1 - (_whole(kept[node], width) + 0.5) / width for node, width in widths.items()}


def _whole(kept: float, width: int) -> int:
    """How many channels a layer keeps; torch-pruning rounds down, hence the half that is added to it."""
    return _TILE * round(kept / _TILE) if width >= _WIDE and kept >= _TILE else round(kept)


def _masked(
    module: nn.Module, example: Example, mask: Callable[[torch.Tensor], torch.Tensor]
) -> PrunedModule:
    """A copy of `module` with zeros where `mask` has them: as 0 and 1 in the shape of the weight."""
    with quiet():
        sparse = copy.deepcopy(module)
    with torch.no_grad():
        for weight in _prunable(sparse):
            weight.mul_(mask(weight))
    return PrunedModule(sparse, count(module, example), count(sparse, example))


def _prunable(module: nn.Module) -> list[torch.Tensor]:
    """Weights worth zeros: of convolutions and linear layers, large, and of several input channels.

    A depthwise convolution holds few weights and needs each of them.
    """
    if isinstance(module, GraphModule):
        nodes = graph.layers(module).values()
        weights = [graph.constant(module, node.args[1]) for node in nodes]  # type: ignore[arg-type]
    else:
        kinds = (nn.modules.conv._ConvNd, nn.Linear)
        weights = [each.weight for each in module.modules() if isinstance(each, kinds)]
    return [each for each in weights if each.numel() >= _TINY and each.shape[1] > 1]
