"""Compression of a MIL program's weights and activations, layer by layer as a recipe says.

Weights of fewer than 2,048 values stay in float, as coremltools advises, but for `w8a8`, whose
integer kernels want every weight in integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import coremltools as ct
import coremltools.optimize.coreml as cto
import numpy as np
from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass
from coremltools.models import utils
from coremltools.optimize.coreml import _quantization_passes as passes
from torch import Tensor

from edgepack.errors import ExportError
from edgepack.formats.coreml.activations import LAYERS, Activations
from edgepack.formats.coreml.trace import Names
from edgepack.graph.palettes import BITS, FEW, codes, palette
from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES, SchemeName

_BLOCK = 32
"""Weights that share a scale in `w4`, about."""
_MOST, _LEAST = 7, 1e-12
"""The greatest code of `w4`; the least that a block's greatest weight is taken for."""
_GROUP = 16
"""Output channels that share a palette of 4 bits, about."""
_PAYS: dict[SchemeName, float] = {"sparse": 1 / 8, "sparse+p6": 1 / 4}
"""The least share of zeros that is worth a mask of one bit a weight."""


@dataclass
class Compression(AbstractGraphPass):  # type: ignore[misc]
    """A pass over the whole program; afterwards `notes` tell what the recipe asked for in vain."""

    names: Names
    recipe: Recipe
    ranges: Mapping[str, tuple[float, float]]
    grouped: bool
    """Whether a palette may be of a group of channels: from iOS 18 on."""
    notes: list[str] = field(default_factory=list)

    def apply(self, prog: Any) -> None:
        """Change `prog` in place. Raises ExportError where no weight holds the zeros a scheme wants."""
        if "w8a8" in (self.recipe.scheme, *self.recipe.layers.values()):
            activations = Activations(self.names, self.recipe, self.ranges)
            activations.apply(prog)
            if activations.unranged:
                self.notes.append(
                    f"activations without a range stay in float: {_listed(activations.unranged)}"
                )
        weights = {name: (op, scheme) for name, op, scheme in self._weights(prog)}
        weights = self._without_zeroless(weights)
        integers = {name: _integers(op, scheme) for name, (op, scheme) in weights.items() if scheme[0] == "w"}
        palettes = {
            name: _palettes(scheme, self._group(op, scheme))
            for name, (op, scheme) in weights.items()
            if scheme[0] == "p"
        }
        sparse = {name: _sparse(scheme) for name, (_, scheme) in weights.items() if SCHEMES[scheme].sparse}
        joint = {
            f"{name}_sparsified": _palettes(scheme)
            for name, (_, scheme) in weights.items()
            if scheme == "sparse+p6"
        }
        _apply(passes.linear_quantize_weights, integers, prog)
        _apply(passes.palettize_weights, palettes, prog)
        _apply(passes.prune_weights, sparse, prog)
        _apply(passes.palettize_weights, joint, prog, joint=True)

    def _weights(self, prog: Any) -> Iterator[tuple[str, Any, SchemeName]]:
        """Constants to compress, by name, each with its scheme: that of the first layer that reads it."""
        for operation in _operations(prog):
            scheme = self.recipe.of(self.names.layer(operation))
            few = 0 if scheme == "w8a8" and operation.op_type in LAYERS else FEW
            for value in operation.inputs.values():
                for each in value if isinstance(value, (list, tuple)) else (value,):
                    if not SCHEMES[scheme].is_float and _is_weight(each, few):
                        yield each.op.name, each.op, scheme

    def _group(self, constant: Any, scheme: SchemeName) -> int:
        """Output channels that share a palette; 0 where all do."""
        readers = {each.op_type for each in constant.outputs[0].child_ops}
        if not self.grouped or scheme != "p4" or not readers <= {"conv", "linear"}:
            return 0
        return _nearest(constant.outputs[0].shape[0], _GROUP)

    def _without_zeroless(
        self, weights: dict[str, tuple[Any, SchemeName]]
    ) -> dict[str, tuple[Any, SchemeName]]:
        """Sparse schemes only where zeros pay; elsewhere float, or the palette alone."""
        asked = [name for name, (_, scheme) in weights.items() if SCHEMES[scheme].sparse]
        dense = [name for name in asked if _zeros(weights[name][0]) < _PAYS[weights[name][1]]]
        if asked and len(asked) == len(dense):
            raise ExportError(
                "Core ML gains nothing from sparse weights here: none has enough zeros",
                hint="prune the model first (--prune)",
            )
        if dense:
            self.notes.append(f"too few zeros to be stored sparsely: {_listed(self._paths(weights, dense))}")
        kept: dict[str, tuple[Any, SchemeName]] = {}
        for name, (operation, scheme) in weights.items():
            if name not in dense:
                kept[name] = operation, scheme
            elif scheme == "sparse+p6":
                kept[name] = operation, "p6"
        return kept

    def _paths(self, weights: Mapping[str, tuple[Any, SchemeName]], names: list[str]) -> list[str]:
        readers = [weights[name][0].outputs[0].child_ops[0] for name in names]
        return [self.names.layer(reader) or reader.name for reader in readers]


def compressed(
    model: Any, names: Names, recipe: Recipe, ranges: Mapping[str, tuple[float, float]]
) -> tuple[Any, list[str]]:
    """A copy of `model`, an MLModel, compressed as `recipe` says, and what should be told of it.

    `ranges` are (low, high) of activations by node. Raises ExportError.
    """
    version = model.get_spec().specificationVersion
    compression = Compression(names, recipe, ranges, grouped=version >= ct.target.iOS18.value)
    smaller = utils._apply_graph_pass(model, compression, spec_version=version, skip_model_load=True)
    return smaller, compression.notes


def _operations(prog: Any) -> Iterator[Any]:
    for function in prog.functions.values():
        yield from _inside(function)


def _inside(block: Any) -> Iterator[Any]:
    for operation in list(block.operations):
        yield operation
        for inner in operation.blocks:
            yield from _inside(inner)


def _is_weight(value: Any, few: int) -> bool:
    if getattr(value, "op", None) is None or value.op.op_type != "const":
        return False
    array = value.val
    floats = isinstance(array, np.ndarray) and np.issubdtype(array.dtype, np.floating)
    return bool(floats and array.ndim > 1 and array.size > few)


def _zeros(constant: Any) -> float:
    values = constant.outputs[0].val
    return float(np.mean(values == 0))


def _listed(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _apply(kind: Any, configs: dict[str, Any], prog: Any, *, joint: bool = False) -> None:
    """Run a pass of coremltools on the constants that `configs` name, and on no others."""
    if configs:
        one = kind(config=cto.OptimizationConfig(op_name_configs=configs))
        one.joint_compression = joint
        one.apply(prog)


def _integers(constant: Any, scheme: SchemeName) -> Any:
    if scheme == "w4":
        shape = constant.outputs[0].shape
        config = {"dtype": "int4", "granularity": "per_block", "block_size": _block(shape)}
        return cto.OpLinearQuantizerConfig(mode="linear_symmetric", **config)
    few = 0 if scheme == "w8a8" else FEW
    return cto.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", weight_threshold=few)


def in_blocks(weight: Tensor) -> Tensor:
    """A weight of [outputs, inputs, ...] on the grid by which coremltools stores `w4`: symmetric, -7..7."""
    parts = weight.unflatten(1, (-1, _block(tuple(weight.shape))))
    scale = parts.abs().amax(tuple(range(2, parts.dim())), keepdim=True).clamp_min(_LEAST) / _MOST
    rounded: Tensor = ((parts / scale).round() * scale).reshape(weight.shape)
    return rounded


def _block(shape: tuple[int, ...]) -> int:
    """Input channels that share a scale, so that about `_BLOCK` weights do."""
    return _nearest(shape[1], _BLOCK / math.prod(shape[2:]))


def _nearest(count: int, wanted: float) -> int:
    """The divisor of `count` that is nearest to what is wanted, as a ratio."""
    divisors = [each for each in range(1, count + 1) if count % each == 0]
    return min(divisors, key=lambda each: abs(math.log(each / wanted)))


def _palettes(scheme: SchemeName, group: int = 0) -> Any:
    table = _table(1 << BITS[scheme], SCHEMES[scheme].sparse)
    if not group:
        return cto.OpPalettizerConfig(mode="custom", lut_function=table)
    grouped = {"granularity": "per_grouped_channel", "group_size": group}
    return cto.OpPalettizerConfig(mode="custom", lut_function=table, **grouped)


def _table(entries: int, masked: bool) -> Callable[[Any], tuple[Any, Any]]:
    """What coremltools calls for a tensor's palette; `masked` weights of zero are stored nowhere."""

    def table(weights: Any) -> tuple[Any, Any]:
        values = weights.astype(np.float64)
        centres = palette(values[values != 0] if masked else values, entries)
        table = np.zeros(entries, weights.dtype)
        table[: len(centres)] = centres
        return table, codes(values, centres)

    return table


def _sparse(scheme: SchemeName) -> Any:
    return cto.OpThresholdPrunerConfig(threshold=0.0, minimum_sparsity_percentile=_PAYS[scheme])
