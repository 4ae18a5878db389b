"""Error feedback: weights put onto palettes or int8 grids so that later ones make up for the errors of
earlier ones.

Column after column of a layer's weight matrix is put onto its palette or grid, and its error is spread
over the columns that are still to come, by the second moments of the layer's inputs (GPTQ: Frantar et
al. 2022, arXiv:2210.17323). Unlike there, the values are those of a palette of one tensor, or of an int8
grid a row whose greatest weight stays as it is, so that whoever writes a format finds the same grid; the
moments are taken about the mean, since the bias makes up for that (Nagel et al. 2019, arXiv:1906.04721,
4.2); a grouped convolution is solved group by group; and every layer's inputs are the float model's, so that
what is found for one layer serves every mix of schemes.
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
from edgepack.graph.palettes import BITS, FEW, Values, palette
from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES, SchemeName

MOST = 64
"""Calibration samples that are used at most."""
_PLACES = 1024
"""Places of one sample, about, at which a convolution's inputs are looked at."""
_WIDEST = 4608
"""Inputs of one output beyond which a layer's second moments are not taken."""
_ROOM = 32 * 2**20
"""Second moments (8 bytes each) that are held at once; samples run again for each such round."""
_DAMPING = 0.01
"""Of the mean second moment, added to all: few samples do not tell all directions."""
_BLOCK = 128
"""Columns whose errors reach those after the block at once."""


@dataclass(frozen=True)
class RoundedLayer:
    """A layer on a palette or grid."""

    weight: Tensor
    """Of the shape it had."""
    bias: Tensor | None
    """[outputs], the mean error taken out of it; None where the layer has none."""
    noise: float
    """Mean squared error at the layer's outputs, summed over them, by its inputs' moments."""


RoundedLayers = Mapping[tuple[str, SchemeName], RoundedLayer]
"""By module path and scheme."""


@dataclass
class GPTQ:
    """The layers of one float graph on palettes or int8 grids, each found once."""

    module: GraphModule
    """Batch norm folded; it is not changed."""
    samples: Samples
    _found: dict[tuple[str, SchemeName], RoundedLayer] = field(default_factory=dict)

    def layers(
        self, wanted: Mapping[str, Iterable[SchemeName]]
    ) -> Mapping[tuple[str, SchemeName], RoundedLayer]:
        """Layers (by path) in schemes of palettes, or `w8a8`. Those that stay as they are have no entry.

        These are transposed ones, and those whose inputs are no finite numbers.
        """
        missing = {
            path: [scheme for scheme in schemes if (path, scheme) not in self._found]
            for path, schemes in wanted.items()
        }
        layers = graphs.layers(self.module)
        left = {path: layers[path] for path, schemes in missing.items() if schemes}
        with torch.no_grad():
            for batch in _rounds(self.module, left):
                moments = _Moments(self.module, batch)
                moments.see(self.samples)
                for path in batch:
                    self._solve(path, missing[path], moments)
        return {
            (path, scheme): self._found[path, scheme]
            for path, schemes in wanted.items()
            for scheme in schemes
            if (path, scheme) in self._found
        }

    def apply(self, recipe: Recipe, module: GraphModule) -> None:
        """Put the layers that `recipe` keeps in palettes or int8 into `module`, a copy of the graph."""
        found = self.layers({path: [recipe.of(path)] for path in candidates(self.module, recipe)})
        layers = graphs.layers(module)
        for (path, _), snapped in found.items():
            place(module, layers[path], snapped)

    def _solve(self, path: str, schemes: list[SchemeName], moments: _Moments) -> None:
        layer = moments.layers[path]
        weight = graphs.constant(self.module, graphs.weight_of(layer))
        bias_node = graphs.bias_of(layer)
        bias = graphs.constant(self.module, bias_node) if bias_node else None
        inputs = moments.of(path, about_mean=bias is not None)
        if inputs is None:
            return
        rows = weight.double().reshape(graphs.groups(layer), -1, inputs.mean.shape[1])
        for scheme in schemes:
            grid = Grid.of(rows) if scheme == "w8a8" else Palette(torch.from_numpy(_table(weight, scheme)))
            snapped = _round_rows(rows, grid, inputs) if inputs.upper is not None else grid.nearest(rows)
            error = rows - snapped
            found = bias
            if bias is not None:
                found = bias + (error @ inputs.mean[..., None]).flatten().to(bias.dtype)
            self._found[path, scheme] = RoundedLayer(
                snapped.reshape(weight.shape).to(weight.dtype), found, inputs.noise(error)
            )


def candidates(module: GraphModule, recipe: Recipe) -> list[str]:
    """Paths of the layers that `recipe` keeps in dense palettes or int8, and that can be fed back."""

    def is_one(path: str, layer: Node) -> bool:
        scheme, weight = recipe.of(path), graphs.constant(module, graphs.weight_of(layer))
        in_palette = scheme in BITS and not SCHEMES[scheme].sparse and weight.numel() > FEW
        return layer.target not in graphs.TRANSPOSED and (in_palette or scheme == "w8a8")

    return [path for path, layer in graphs.layers(module).items() if is_one(path, layer)]


def place(module: GraphModule, layer: Node, snapped: RoundedLayer) -> None:
    """Put a layer on its palette or grid into `module`, which `layer` is of."""
    graphs.set_constant(module, str(graphs.weight_of(layer).target), snapped.weight)
    bias = graphs.bias_of(layer)
    if bias is not None and snapped.bias is not None:
        graphs.set_constant(module, str(bias.target), snapped.bias)


def current(module: GraphModule, layer: Node) -> RoundedLayer:
    """A layer of `module` as it is."""
    bias = graphs.bias_of(layer)
    weight = graphs.constant(module, graphs.weight_of(layer))
    return RoundedLayer(weight, graphs.constant(module, bias) if bias else None, 0.0)


def _table(weight: Tensor, scheme: SchemeName) -> Values:
    """The palette of a weight, in values that 16-bit floats hold exactly."""
    found = palette(weight.double().numpy(), 1 << BITS[scheme])
    return np.unique(found.astype(np.float16)).astype(np.float64)


@dataclass(frozen=True)
class Palette:
    """The values that all weights of a layer may have."""

    table: Tensor
    """Ascending."""

    def nearest(self, values: Tensor) -> Tensor:
        """Weights, [groups, outputs, any], on the palette."""
        return self.table[torch.bucketize(values.contiguous(), (self.table[1:] + self.table[:-1]) / 2)]

    def put(self, values: Tensor, _columns: Tensor) -> Tensor:
        """One weight a row, [groups, outputs], on the palette, wherever it stands."""
        return self.nearest(values)


@dataclass(frozen=True)
class Grid:
    """int8 codes, -127..127, a scale a row; a row's greatest weight is its scale's, and stays."""

    scale: Tensor
    """[groups, outputs]."""
    greatest: Tensor
    """[groups, outputs]: the column of the greatest weight of each row."""
    kept: Tensor
    """[groups, outputs]: that weight."""

    @classmethod
    def of(cls, rows: Tensor) -> Grid:
        """The grid of weights [groups, outputs, inputs]."""
        greatest = rows.abs().argmax(2)
        kept = rows.gather(2, greatest[..., None])[..., 0]
        return cls(kept.abs().clamp_min(1e-12) / 127, greatest, kept)

    def nearest(self, values: Tensor) -> Tensor:
        """Weights, [groups, outputs, any], on the grid."""
        scale = self.scale[..., None]
        return (values / scale).round().clamp(-127, 127) * scale

    def put(self, values: Tensor, columns: Tensor) -> Tensor:
        """One weight a row, [groups, outputs], on the grid; `columns`, [groups], is where they stand."""
        return torch.where(
            self.greatest == columns[:, None], self.kept, self.nearest(values[..., None])[..., 0]
        )


@dataclass(frozen=True)
class _Inputs:
    """What a layer reads, over all samples. All of it group by group: [groups, inputs …]."""

    mean: Tensor
    second: Tensor
    """[groups, inputs, inputs], or its diagonal alone where it is too wide."""
    order: Tensor
    """The columns, the strongest first."""
    upper: Tensor | None
    """The upper Cholesky factor of the inverse of `second`, damped, in that order; None if too wide."""

    def noise(self, error: Tensor) -> float:
        """What an error of the weights, [groups, outputs, inputs], does to the outputs."""
        if self.upper is None:
            return float((error**2 @ self.second[..., None]).sum())
        return float((error @ self.second * error).sum())


def _round_rows(rows: Tensor, grid: Palette | Grid, inputs: _Inputs) -> Tensor:
    """Rows of a weight, [groups, outputs, inputs], on a palette or grid."""
    assert inputs.upper is not None
    order = inputs.order[:, None].expand_as(rows)
    left = rows.gather(2, order)
    snapped, upper, count = torch.empty_like(left), inputs.upper, rows.shape[2]
    for begin in range(0, count, _BLOCK):
        end = min(begin + _BLOCK, count)
        errors = torch.empty_like(left[..., begin:end])
        for at in range(begin, end):
            snapped[..., at] = grid.put(left[..., at], inputs.order[:, at])
            error = (left[..., at] - snapped[..., at]) / upper[:, None, at, at]
            left[..., at + 1 : end] -= error[..., None] * upper[:, None, at, at + 1 : end]
            errors[..., at - begin] = error
        left[..., end:] -= errors @ upper[:, begin:end, end:]
    return torch.empty_like(snapped).scatter_(2, order, snapped)


class _Moments(Interpreter):
    """First and second moments of what some layers read."""

    def __init__(self, module: GraphModule, layers: Mapping[str, Node]) -> None:
        super().__init__(module)
        self.layers = layers
        self._paths = {str(graphs.weight_of(node).target): path for path, node in layers.items()}
        self._sums: dict[str, list[Tensor]] = {}
        self._counts: dict[str, int] = {}

    def see(self, samples: Samples) -> None:
        """Run the first samples."""
        for sample in samples.inputs[:MOST]:
            self.run(*(torch.from_numpy(array) for array in sample))

    def run_node(self, n: Node) -> Any:
        path = self._paths.get(str(graphs.weight_of(n).target)) if graphs.is_layer(n) else None
        if path is not None and isinstance(n.args[0], Node):
            weight = graphs.constant(self.module, graphs.weight_of(n))  # type: ignore[arg-type]
            self._add(path, _columns(self.env[n.args[0]], n, weight))
        return super().run_node(n)

    def _add(self, path: str, columns: Tensor) -> None:
        """Take in inputs [groups, inputs, places]."""
        wide = columns.shape[1] > _WIDEST
        second = (columns**2).sum(2) if wide else columns @ columns.transpose(1, 2)
        sums = [columns.sum(2).double(), second.double()]
        self._sums[path] = [a.add_(b) for a, b in zip(self._sums[path], sums)] if path in self._sums else sums
        self._counts[path] = self._counts.get(path, 0) + columns.shape[2]

    def of(self, path: str, *, about_mean: bool) -> _Inputs | None:
        """Of one layer, which is then forgotten; None where it was not run or saw no finite numbers."""
        sums = self._sums.pop(path, None)
        if sums is None or not all(bool(each.isfinite().all()) for each in sums):
            return None
        mean, second = (each / self._counts[path] for each in sums)
        wide = second.dim() == 2
        if about_mean:
            second -= mean**2 if wide else mean[:, :, None] * mean[:, None]
        diagonal = second if wide else second.diagonal(dim1=1, dim2=2)
        order = diagonal.argsort(dim=1, descending=True, stable=True)
        return _Inputs(mean, second, order, None if wide else _factor(second, order))


def _factor(second: Tensor, order: Tensor) -> Tensor:
    """The upper Cholesky factor of the inverse of second moments, damped, their columns in an order.

    With J for "backwards": J A J = L Lᵀ makes J L J upper, and its inverse is the factor of A⁻¹.
    """
    size = second.shape[1]
    sorted_rows = second.gather(1, order[:, :, None].expand_as(second))
    damped = sorted_rows.gather(2, order[:, None].expand_as(second))
    diagonal = damped.diagonal(dim1=1, dim2=2)
    diagonal += _DAMPING * diagonal.mean(1, keepdim=True) + 1e-10
    backwards = torch.linalg.cholesky(damped.flip(1, 2)).flip(1, 2)
    identity = torch.eye(size, dtype=torch.float64)
    upper: Tensor = torch.linalg.solve_triangular(backwards, identity, upper=True)
    return upper


def _columns(value: Tensor, layer: Node, weight: Tensor) -> Tensor:
    """What each output of a layer reads, place by place: [groups, inputs, places]."""
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
    places = math.prod(patches.shape[2 : 2 + len(kernel)])
    step = max(1, math.floor((places / _PLACES) ** (1 / len(kernel))))
    patches = patches[(slice(None), slice(None), *[slice(None, None, step)] * len(kernel))]
    inner = range(2 + len(kernel), patches.dim())
    patches = patches.permute(1, *inner, 0, *range(2, 2 + len(kernel)))
    return patches.reshape(graphs.groups(layer), weight[0].numel(), -1)


def _settings(layer: Node, place: int, axes: int, usual: int) -> list[int]:
    """A convolution's stride, padding or dilation, one an axis."""
    given: Any = layer.args[place] if len(layer.args) > place else usual
    values = list(given) if isinstance(given, (list, tuple)) else [given]
    return values * axes if len(values) == 1 else values


def _rounds(module: GraphModule, layers: Mapping[str, Node]) -> Iterator[dict[str, Node]]:
    """Layers whose second moments can be held at once."""
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
