"""Structured pruning of whole channels, and unstructured pruning of single weights.

Both remove what has the smallest magnitude, and need no samples.
"""

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
"""A layer with this number of channels or more keeps a multiple of `_TILE`."""
_TILE = 8
"""Channels that float and int8 kernels compute together; tile sizes of XNNPACK and MLAS are multiples."""
_TINY = 512
"""Layers with fewer weights than this are not pruned by single weights."""

Example = tuple[torch.Tensor, ...]
"""The input tensors of one sample."""


@dataclass(frozen=True)
class PrunedModule:
    """A pruned module, with its counts before and after."""

    module: nn.Module
    before: Counts
    after: Counts
    channels: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Output channels before and after, by module path, of the layers that were narrowed."""


def cannot_prune() -> str:
    """Why `structured` cannot run, with the command that installs what is missing; empty if it can."""
    missing = importlib.util.find_spec("torch_pruning") is None
    return f"torch-pruning not installed; pip install 'edgepack[{EXTRA}]'" if missing else ""


def structured(module: nn.Module, example: Example, ratio: float) -> PrunedModule:
    """A copy of `module` in which every layer has lost the share `ratio` of its output channels.

    A `ratio` of 0.5 leaves half of the channels, and so about a quarter of the multiply-adds. Layers that
    share channels (residual adds, depthwise convolutions) lose the same ones; layers whose channels are
    outputs of the model lose none. The channels removed from a layer are those with the smallest L2 norm
    of all weights that write and read them, which torch-pruning finds (Fang et al. 2023, DepGraph,
    arXiv:2301.12900). The same module and ratio produce the same result.

    Raises PlanError if the ratio is not between 0 and 1, or would remove a whole layer or no channel;
    SourceError if the module cannot be traced, or does not run after pruning; and ExportError if
    torch-pruning is not installed.
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
        _remove_channels(smaller, example, ratio)
    before, after = _counts(module, smaller, example)
    pruned = _widths(smaller).items()
    channels = {path: (widths[path], width) for path, width in pruned if width != widths[path]}
    if not channels:
        raise PlanError(f"pruning by {ratio:g} removes no channel: the layers are too narrow")
    return PrunedModule(smaller, before, after, channels)


def unstructured(module: nn.Module, example: Example, ratio: float) -> PrunedModule:
    """A copy of `module` in which the share `ratio` of the weights of each layer is zero: the smallest ones.

    Magnitude pruning of convolutions and linear layers (`_prunable`), layer by layer (Zhu and Gupta 2017,
    arXiv:1710.01878). Neither the shapes nor the multiply-adds change; files become smaller in formats
    that do not store zeros. Raises PlanError if the ratio is not between 0 and 1.
    """
    _check_ratio(ratio)

    def mask(weight: torch.Tensor) -> torch.Tensor:
        zeros = round(ratio * weight.numel())
        order = weight.abs().flatten().argsort(stable=True)
        return torch.ones(weight.numel()).index_fill(0, order[:zeros], 0).view(weight.shape)

    return _masked(module, example, mask)


def n_of_m(module: nn.Module, example: Example, n: int = 2, m: int = 4) -> PrunedModule:
    """A copy of `module` with N:M sparsity: of every `m` weights, at most `n` are not zero.

    The `m` weights are consecutive along the input channels, for each output channel and each position in
    the kernel. Sparse kernels of TensorRT ("I/O Formats and Sparsity", TensorRT documentation) and of
    cuSPARSELt require that. The largest weights are kept (Mishra et al. 2021, arXiv:2104.08378). Layers
    whose number of input channels is not a multiple of `m` are not changed. Raises PlanError unless
    0 < n < m.
    """
    if not 0 < n < m:
        raise PlanError(f"{n}:{m} is not a sparsity pattern: n must be between 0 and m")

    def mask(weight: torch.Tensor) -> torch.Tensor:
        if weight.shape[1] % m:
            return torch.ones_like(weight)
        channels_last = weight.movedim(1, -1)
        blocks = channels_last.reshape(-1, m)
        order = blocks.abs().argsort(dim=1, descending=True, stable=True)
        ones = torch.zeros_like(blocks).scatter_(1, order[:, :n], 1)
        return ones.view(channels_last.shape).movedim(-1, 1)

    return _masked(module, example, mask)


def _check_ratio(ratio: float) -> None:
    if not 0 < ratio < 1:
        raise PlanError(f"a pruning ratio must be between 0 and 1, not {ratio:g}")


def _counts(module: nn.Module, smaller: nn.Module, example: Example) -> tuple[Counts, Counts]:
    """Counts before and after. Raises SourceError unless both modules run with the same output shapes."""
    try:
        before, after = _shapes(module, example), _shapes(smaller, example)
    except Exception as cause:  # whatever the user's code raises
        raise SourceError(
            f"the pruned model does not run: {first_line(cause)}",
            hint="its forward may contain a number of channels: use the tensor's shape instead",
        ) from cause
    if before != after:
        raise SourceError(f"pruning would change the shapes of the outputs from {before} to {after}")
    return count(module, example), count(smaller, example)


def _shapes(module: nn.Module, example: Example) -> list[list[int]]:
    with torch.no_grad():
        return [list(output.shape) for output in module(*example)]


def _widths(module: nn.Module) -> dict[str, int]:
    """Output channels of the layers by module path."""
    return {
        graph.path_of(f"{name}.weight"): layer.weight.shape[layer.transposed if _is_conv(layer) else 0]
        for name, layer in module.named_modules()
        if _is_conv(layer) or isinstance(layer, nn.Linear)
    }


def _is_conv(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.conv._ConvNd)


def _remove_channels(module: nn.Module, example: Example, ratio: float) -> None:
    """Prune `module` in place with torch-pruning."""
    import torch_pruning

    outputs: list[Any] = []

    def record(traced: Any) -> Any:
        outputs.extend(traced)
        return traced

    try:
        tracer = torch_pruning.DependencyGraph()
        tracer.build_dependency(module, example_inputs=example, output_transform=record)
        groups = list(tracer.get_all_groups())
    except Exception as cause:  # torch-pruning documents no errors of its own
        raise SourceError(f"torch-pruning cannot trace the model: {first_line(cause)}") from cause
    output_nodes = {id(output.grad_fn) for output in outputs}
    fixed = [group for group in groups if _is_output(group, output_nodes, tracer)]
    free = [group for group in groups if not _is_output(group, output_nodes, tracer)]
    ratios = _group_ratios(free, ratio, tracer)
    try:
        torch_pruning.pruner.BasePruner(
            module,
            example,
            torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=0.0,
            pruning_ratio_dict=ratios,
            ignored_layers=[group[0].dep.target.module for group in fixed],
            in_channel_groups={},  # the defaults are mutable and shared by all pruners
            out_channel_groups={},
        ).step()
    except Exception as cause:
        raise SourceError(f"torch-pruning cannot prune the model: {first_line(cause)}") from cause


def _is_output(group: Any, output_nodes: set[int], tracer: Any) -> bool:
    """Whether a group's channels are those of an output of the model."""
    return any(id(dep.target.grad_fn) in output_nodes and not _is_input(dep, tracer) for dep, _ in group)


def _is_input(dep: Any, tracer: Any) -> bool:
    """Whether the channels are inputs of the dependency's layer, and its outputs are others."""
    return tracer.is_in_channel_pruning_fn(dep.handler) and not tracer.is_out_channel_pruning_fn(dep.handler)


def _group_ratios(groups: list[Any], ratio: float, tracer: Any) -> dict[nn.Module, float]:
    """The pruning ratio of each group, by its first layer, that leaves a whole number of channels.

    Raises PlanError if a layer would lose all its channels.
    """
    widths = {group[0].dep.target: tracer.get_out_channels(group[0].dep.target.module) for group in groups}
    kept = {node: round(width * (1 - ratio), 6) for node, width in widths.items()}
    narrowest = min(kept, key=lambda node: kept[node], default=None)
    if narrowest is not None and kept[narrowest] < 1:
        width, path = widths[narrowest], graph.path_of(f"{narrowest._name}.weight")
        raise PlanError(
            f"pruning by {ratio:g} would remove the whole layer '{path}' of {width} channels",
            hint=f"a ratio of up to {math.floor(100 - 100 / width) / 100:g} leaves one channel",
        )
    # torch-pruning rounds down, so half a channel is added
    return {
        node.module: 1 - (_channels_left(kept[node], width) + 0.5) / width for node, width in widths.items()
    }


def _channels_left(kept: float, width: int) -> int:
    """How many channels a layer of `width` channels keeps."""
    return _TILE * round(kept / _TILE) if width >= _WIDE and kept >= _TILE else round(kept)


def _masked(
    module: nn.Module, example: Example, mask: Callable[[torch.Tensor], torch.Tensor]
) -> PrunedModule:
    """A copy of `module` whose weights are multiplied by `mask(weight)`: zeros and ones of the same shape."""
    with quiet():
        sparse = copy.deepcopy(module)
    with torch.no_grad():
        for weight in _prunable(sparse):
            weight.mul_(mask(weight))
    return PrunedModule(sparse, count(module, example), count(sparse, example))


def _prunable(module: nn.Module) -> list[torch.Tensor]:
    """Weights of large convolutions and linear layers with several input channels.

    A depthwise convolution has few weights and needs all of them.
    """
    if isinstance(module, GraphModule):
        nodes = graph.layers(module).values()
        weights = [graph.constant(module, node.args[1]) for node in nodes]  # type: ignore[arg-type]
    else:
        kinds = (nn.modules.conv._ConvNd, nn.Linear)
        weights = [layer.weight for layer in module.modules() if isinstance(layer, kinds)]
    return [weight for weight in weights if weight.numel() >= _TINY and weight.shape[1] > 1]
