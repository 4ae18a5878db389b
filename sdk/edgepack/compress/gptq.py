"""GPTQ: round weights one column after another, and correct the columns to come for the rounding errors.

Each column of a layer's weight matrix is rounded, and its error is spread over the columns that are not
rounded yet, by the second moments of the layer's inputs (Frantar et al. 2022, arXiv:2210.17323). Differences
from the paper:

- Values are those of a palette for the tensor, or of an integer grid for each row. The greatest weight of a
  row stays as it is, so that whatever computes the scale from the written weight finds the same grid.
- Moments are taken about the mean, since the bias compensates for the mean (Nagel et al. 2019,
  arXiv:1906.04721, 4.2).
- A grouped convolution is solved group by group.
- The inputs of every layer are the float model's. The result for one layer then serves every mix of schemes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from edgepack.contract.samples import Samples
from edgepack.graph import layers as graphs
from edgepack.graph.palettes import FEW, Values, palette
from edgepack.graph.quantization_grid import LEAST_STEP, greatest_weight_code
from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES, SchemeName

MOST = 64
"""Calibration samples that are used at most."""
_PLACES = 1024
"""Places of one sample, about, at which the inputs of a convolution are measured."""
_WIDEST = 4608
"""Inputs of one output up to which all second moments of a layer are measured; beyond, variances only."""
_ROOM = 32 * 2**20
"""Second moments (8 bytes each) that are in memory at once; the samples run again for each such round."""
_DAMPING = 0.01
"""Share of the mean second moment that is added to all: few samples do not cover all directions."""
_BLOCK = 128
"""Columns that are rounded before their errors are spread over the columns after the block."""


@dataclass(frozen=True)
class RoundedLayer:
    """A layer's weight on a palette or an integer grid."""

    weight: Tensor
    """In float, of the layer's own shape."""
    bias: Tensor | None
    """[outputs], corrected for the mean error; None where the layer has no bias."""
    noise: float
    """Mean squared error at the layer's outputs, summed over them, by the moments of its inputs."""


_GridKind = tuple[bool, int]
"""Whether weights are on a palette, and their bits: schemes of one kind have the same weights."""
RoundedLayers = Mapping[tuple[str, SchemeName], RoundedLayer]
"""By module path and scheme."""


@dataclass
class GPTQ:
    """Layers of one float graph, rounded to palettes or integer grids, each computed once."""

    module: GraphModule
    """With batch norm folded; it is not changed."""
    samples: Samples
    _rounded: dict[tuple[str, _GridKind], RoundedLayer] = field(default_factory=dict)

    def layers(self, wanted: Mapping[str, Iterable[SchemeName]]) -> RoundedLayers:
        """Layers by module path, each in some schemes.

        Layers whose inputs are not finite, or that no sample reaches, stay as they are and are left out.
        """
        missing = {
            path: {kind: None for kind in map(_kind, schemes) if (path, kind) not in self._rounded}
            for path, schemes in wanted.items()
        }
        layers = graphs.layers(self.module)
        left = {path: layers[path] for path, kinds in missing.items() if kinds}
        with torch.no_grad():
            for batch in _rounds(self.module, left):
                moments = _Moments(self.module, batch)
                moments.run_samples(self.samples)
                for path in batch:
                    self._solve(path, missing[path], moments)
        return {
            (path, scheme): self._rounded[path, _kind(scheme)]
            for path, schemes in wanted.items()
            for scheme in schemes
            if (path, _kind(scheme)) in self._rounded
        }

    def apply(self, recipe: Recipe, module: GraphModule) -> None:
        """Place the rounded layers of `recipe` into `module`, a copy of the graph."""
        rounded = self.layers({path: [recipe.of(path)] for path in candidates(self.module, recipe)})
        layers = graphs.layers(module)
        for (path, _), layer in rounded.items():
            place(module, layers[path], layer)

    def _solve(self, path: str, kinds: Iterable[_GridKind], moments: _Moments) -> None:
        layer = moments.layers[path]
        weight = graphs.constant(self.module, graphs.weight_of(layer))
        bias_node = graphs.bias_of(layer)
        bias = graphs.constant(self.module, bias_node) if bias_node else None
        inputs = moments.take(path, about_mean=bias is not None)
        if inputs is None:
            return
        rows = weight.double().reshape(graphs.groups(layer), -1, inputs.mean.shape[1])
        for kind in kinds:
            grid = _grid(kind, weight, rows)
            rounded = _round_rows(rows, grid, inputs) if inputs.upper is not None else grid.nearest(rows)
            error = rows - rounded
            corrected = bias
            if bias is not None:
                # the mean error at the outputs, which the bias compensates
                corrected = bias + (error @ inputs.mean[..., None]).flatten().to(bias.dtype)
            self._rounded[path, kind] = RoundedLayer(
                rounded.reshape(weight.shape).to(weight.dtype), corrected, inputs.noise(error)
            )


def candidates(module: GraphModule, recipe: Recipe) -> list[str]:
    """Module paths of the layers that `recipe` stores in dense palettes, or in integers with a scale for each
    output.

    Transposed convolutions are not among them.
    """

    def is_one(path: str, layer: Node) -> bool:
        scheme, weight = recipe.at(path), graphs.constant(module, graphs.weight_of(layer))
        in_palette = scheme.is_palette and not scheme.sparse and weight.numel() > FEW
        return layer.target not in graphs.TRANSPOSED and (in_palette or scheme.has_integer_channels)

    return [path for path, layer in graphs.layers(module).items() if is_one(path, layer)]


def place(module: GraphModule, layer: Node, rounded: RoundedLayer) -> None:
    """Set the weight and the bias of `layer`, a node of `module`."""
    graphs.set_constant(module, str(graphs.weight_of(layer).target), rounded.weight)
    bias = graphs.bias_of(layer)
    if bias is not None and rounded.bias is not None:
        graphs.set_constant(module, str(bias.target), rounded.bias)


def current(module: GraphModule, layer: Node) -> RoundedLayer:
    """The weight and bias that a layer of `module` has now, to place them again later."""
    bias = graphs.bias_of(layer)
    weight = graphs.constant(module, graphs.weight_of(layer))
    return RoundedLayer(weight, graphs.constant(module, bias) if bias else None, 0.0)


def _table(weight: Tensor, bits: int) -> Values:
    """The palette of a weight, in values that 16-bit floats represent exactly."""
    entries = palette(weight.double().numpy(), 1 << bits)
    return np.unique(entries.astype(np.float16)).astype(np.float64)


def _kind(scheme: SchemeName) -> _GridKind:
    return SCHEMES[scheme].is_palette, SCHEMES[scheme].weight_bits


def _grid(kind: _GridKind, weight: Tensor, rows: Tensor) -> Palette | Grid:
    is_palette, bits = kind
    return Palette(torch.from_numpy(_table(weight, bits))) if is_palette else Grid.of(rows, bits)


@dataclass(frozen=True)
class Palette:
    """The values that all weights of a layer may have."""

    table: Tensor
    """Ascending."""

    def nearest(self, values: Tensor) -> Tensor:
        """The palette's values nearest to weights [groups, outputs, any]."""
        return self.table[torch.bucketize(values.contiguous(), (self.table[1:] + self.table[:-1]) / 2)]

    def round_column(self, values: Tensor, _columns: Tensor) -> Tensor:
        """One weight of each row, [groups, outputs], rounded."""
        return self.nearest(values)


@dataclass(frozen=True)
class Grid:
    """Symmetric integer codes with one scale for each row; a row's greatest weight is its end."""

    scale: Tensor
    """[groups, outputs]."""
    greatest: Tensor
    """[groups, outputs]: the column of the greatest weight of each row."""
    kept: Tensor
    """[groups, outputs]: that weight, which is not changed."""
    last: int
    """The greatest code, 127 for 8 bits."""

    @classmethod
    def of(cls, rows: Tensor, bits: int) -> Grid:
        """The grid of weights [groups, outputs, inputs]."""
        greatest = rows.abs().argmax(2)
        kept = rows.gather(2, greatest[..., None])[..., 0]
        last = greatest_weight_code(bits)
        return cls(kept.abs().clamp_min(LEAST_STEP) / last, greatest, kept, last)

    def nearest(self, values: Tensor) -> Tensor:
        """The grid's values nearest to weights [groups, outputs, any]."""
        scale = self.scale[..., None]
        return (values / scale).round().clamp(-self.last, self.last) * scale

    def round_column(self, values: Tensor, columns: Tensor) -> Tensor:
        """One weight of each row, [groups, outputs], rounded; `columns`, [groups], are their columns."""
        return torch.where(
            self.greatest == columns[:, None], self.kept, self.nearest(values[..., None])[..., 0]
        )


@dataclass(frozen=True)
class _Inputs:
    """Moments of what a layer reads, over all samples, for each group: [groups, inputs …]."""

    mean: Tensor
    second: Tensor
    """[groups, inputs, inputs]; only its diagonal where the layer is too wide or its inputs hardly vary."""
    order: Tensor
    """The order in which columns are rounded: the greatest second moment first."""
    upper: Tensor | None
    """The upper Cholesky factor of the inverse of `second`, damped, in that order; None where `second` is a
    diagonal."""

    def noise(self, error: Tensor) -> float:
        """Mean squared error at the outputs from an error of the weights [groups, outputs, inputs]."""
        if self.upper is None:
            return float((error**2 @ self.second[..., None]).sum())
        return float((error @ self.second * error).sum())


def _round_rows(rows: Tensor, grid: Palette | Grid, inputs: _Inputs) -> Tensor:
    """Rows of a weight, [groups, outputs, inputs], rounded (algorithm 1 of the paper)."""
    assert inputs.upper is not None
    order = inputs.order[:, None].expand_as(rows)
    left = rows.gather(2, order)
    rounded, upper, count = torch.empty_like(left), inputs.upper, rows.shape[2]
    for begin in range(0, count, _BLOCK):
        end = min(begin + _BLOCK, count)
        errors = torch.empty_like(left[..., begin:end])
        for column in range(begin, end):
            rounded[..., column] = grid.round_column(left[..., column], inputs.order[:, column])
            # the error, which the columns to come in this block compensate at once
            error = (left[..., column] - rounded[..., column]) / upper[:, None, column, column]
            left[..., column + 1 : end] -= error[..., None] * upper[:, None, column, column + 1 : end]
            errors[..., column - begin] = error
        # the columns after the block compensate its errors together
        left[..., end:] -= errors @ upper[:, begin:end, end:]
    return torch.empty_like(rounded).scatter_(2, order, rounded)


class _Moments(Interpreter):
    """Runs a graph and sums up first and second moments of what some layers read."""

    def __init__(self, module: GraphModule, layers: Mapping[str, Node]) -> None:
        super().__init__(module)
        self.layers = layers
        self._paths = {str(graphs.weight_of(node).target): path for path, node in layers.items()}
        self._sums: dict[str, list[Tensor]] = {}
        self._counts: dict[str, int] = {}
        self._shifts: dict[str, Tensor] = {}

    def run_samples(self, samples: Samples) -> None:
        """Run the first `MOST` samples."""
        for sample in samples.inputs[:MOST]:
            self.run(*(torch.from_numpy(array) for array in sample))

    def run_node(self, n: Node) -> Any:
        path = self._paths.get(str(graphs.weight_of(n).target)) if graphs.is_layer(n) else None
        if path is not None and isinstance(n.args[0], Node):
            weight = graphs.constant(self.module, graphs.weight_of(n))  # type: ignore[arg-type]
            self._add(path, _columns(self.env[n.args[0]], n, weight))
        return super().run_node(n)

    def _add(self, path: str, columns: Tensor) -> None:
        """Add the inputs of one sample, [groups, inputs, places], less the means of the first sample.

        Second moments of values far from zero would leave nothing of their variance in 32-bit floats.
        """
        wide = columns.shape[1] > _WIDEST
        columns = columns - self._shifts.setdefault(path, columns.mean(2, keepdim=True))
        second = (columns**2).sum(2) if wide else columns @ columns.transpose(1, 2)
        sums = [columns.sum(2).double(), second.double()]
        self._sums[path] = [a.add_(b) for a, b in zip(self._sums[path], sums)] if path in self._sums else sums
        self._counts[path] = self._counts.get(path, 0) + columns.shape[2]

    def take(self, path: str, *, about_mean: bool) -> _Inputs | None:
        """The moments of one layer, which are then forgotten.

        None where the layer did not run or a moment is not finite.
        """
        sums = self._sums.pop(path, None)
        if sums is None or not all(bool(each.isfinite().all()) for each in sums):
            return None
        shifted, second = (each / self._counts[path] for each in sums)
        mean = shifted + self._shifts.pop(path)[..., 0].double()
        wide = second.dim() == 2
        second -= _outer(shifted, wide=wide)
        if not about_mean:
            second += _outer(mean, wide=wide)
        diagonal = second if wide else second.diagonal(dim1=1, dim2=2)
        order = diagonal.argsort(dim=1, descending=True, stable=True)
        upper = None if wide else _factor(second, order)
        return _Inputs(mean, second if upper is not None or wide else diagonal.clone(), order, upper)


def _outer(means: Tensor, *, wide: bool) -> Tensor:
    """Products of means [groups, inputs]: all pairs, or only the squares."""
    return means**2 if wide else means[:, :, None] * means[:, None]


def _factor(second: Tensor, order: Tensor) -> Tensor | None:
    """The upper Cholesky factor of the inverse of second moments, damped, with columns in an order.

    None where the moments have none, since the inputs hardly vary: each weight is then rounded on its own.

    With J for the reversal of rows: J A J = L Lᵀ makes J L J upper, and its inverse is the factor of A⁻¹.
    """
    size = second.shape[1]
    sorted_rows = second.gather(1, order[:, :, None].expand_as(second))
    damped = sorted_rows.gather(2, order[:, None].expand_as(second))
    diagonal = damped.diagonal(dim1=1, dim2=2)
    diagonal += _DAMPING * diagonal.mean(1, keepdim=True) + 1e-10
    factor, failed = torch.linalg.cholesky_ex(damped.flip(1, 2))
    if failed.any():
        return None
    factor = factor.flip(1, 2)
    identity = torch.eye(size, dtype=torch.float64)
    upper: Tensor = torch.linalg.solve_triangular(factor, identity, upper=True)
    return upper


def _columns(value: Tensor, layer: Node, weight: Tensor) -> Tensor:
    """What each output of a layer reads at each place: [groups, inputs, places]."""
    if layer.target in graphs.LINEAR:
        return value.reshape(-1, value.shape[-1]).T[None]
    kernel = weight.shape[2:]
    stride, padding, dilation = (
        _settings(layer, n, len(kernel), each) for n, each in ((3, 1), (4, 0), (5, 1))
    )
    patches = value.reshape(-1, *value.shape[-len(kernel) - 1 :])
    patches = torch.nn.functional.pad(patches, [n for each in reversed(padding) for n in (each, each)])
    for axis, size in enumerate(kernel):
        patches = patches.unfold(axis + 2, (size - 1) * dilation[axis] + 1, stride[axis])
        patches = patches[..., :: dilation[axis]]
    # of large images, every n-th place in each direction
    places = math.prod(patches.shape[2 : 2 + len(kernel)])
    step = max(1, math.floor((places / _PLACES) ** (1 / len(kernel))))
    patches = patches[(slice(None), slice(None), *[slice(None, None, step)] * len(kernel))]
    inner = range(2 + len(kernel), patches.dim())
    patches = patches.permute(1, *inner, 0, *range(2, 2 + len(kernel)))
    return patches.reshape(graphs.groups(layer), weight[0].numel(), -1)


def _settings(layer: Node, place: int, axes: int, default: int) -> list[int]:
    """A convolution's stride, padding or dilation, one value for each axis."""
    given: Any = layer.args[place] if len(layer.args) > place else default
    values = list(given) if isinstance(given, (list, tuple)) else [given]
    return values * axes if len(values) == 1 else values


def _rounds(module: GraphModule, layers: Mapping[str, Node]) -> Iterator[dict[str, Node]]:
    """Layers in groups whose second moments fit into memory together."""
    batch: dict[str, Node] = {}
    held = 0
    for path, layer in layers.items():
        width = graphs.constant(module, graphs.weight_of(layer))[0].numel()
        size = graphs.groups(layer) * width * (width if width <= _WIDEST else 1)
        if batch and held + size > _ROOM:
            yield batch
            batch, held = {}, 0
        batch[path] = layer
        held += size
    if batch:
        yield batch
