"""Compression of a MIL program's weights and activations, layer by layer as a recipe says.

Small weights stay in float, as the format's capability table says, except those of integer kernels, which
need every weight in integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import coremltools as ct
import coremltools.optimize.coreml as cto
import numpy as np
from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass
from coremltools.models import utils
from coremltools.optimize.coreml import _quantization_passes as passes
from torch import Tensor

from edgepack.errors import ExportError
from edgepack.formats.capability import OperatorKind
from edgepack.formats.coreml import capability_table
from edgepack.formats.coreml.activations import LAYERS, Activations
from edgepack.formats.coreml.trace import Names
from edgepack.graph.palettes import codes, palette
from edgepack.recipe import Recipe
from edgepack.scheme import Scheme, SchemeName

_BLOCK = 32
"""Weights that share a scale in `w4`, about."""
_MOST, _LEAST = 7, 1e-12
"""The greatest code of `w4`; the least that a block's greatest weight is taken for."""
_GROUP, _GROUPED_BITS = 16, 4
"""Output channels that share a palette of 4 bits, about."""
_WEIGHTED = LAYERS | {"conv_transpose", "matmul", "einsum", "gather", "lstm", "gru", "rnn"}
"""Operators whose constants are weights. Of a table of positions that is added, the first axis is no axis
of channels: one scale for all of it costs more than its bytes save."""
_PAYS: dict[SchemeName, float] = {"sparse": 1 / 8, "sparse+p6": 1 / 4}
"""The least share of zeros that is worth a mask of one bit a weight."""


@dataclass
class Compression(AbstractGraphPass):  # type: ignore[misc]
    """A pass over the whole program; afterwards `notes` say what of the recipe could not be done."""

    names: Names
    recipe: Recipe
    ranges: Mapping[str, tuple[float, float]]
    grouped: bool
    """Whether a palette may be of a group of channels: from iOS 18 on."""
    notes: list[str] = field(default_factory=list)

    def apply(self, prog: Any) -> None:
        """Change `prog` in place. Raises ExportError where no weight holds the zeros a scheme wants."""
        if any(scheme.has_static_activations for scheme in self.recipe.schemes):
            activations = Activations(self.names, self.recipe, self.ranges)
            activations.apply(prog)
            if activations.unranged:
                self.notes.append(
                    f"activations without a range stay in float: {_listed(activations.unranged)}"
                )
        weights = {name: (op, scheme) for name, op, scheme in self._weights(prog)}
        weights = self._without_zeroless(weights)
        integers = {
            name: _integers(op, scheme)
            for name, (op, scheme) in weights.items()
            if scheme.weights == "integer"
        }
        palettes = {
            name: _palettes(scheme, self._group(op, scheme))
            for name, (op, scheme) in weights.items()
            if scheme.is_palette and not scheme.sparse
        }
        sparse = {name: _sparse(scheme) for name, (_, scheme) in weights.items() if scheme.sparse}
        joint = {
            f"{name}_sparsified": _palettes(scheme)
            for name, (_, scheme) in weights.items()
            if scheme.sparse and scheme.is_palette
        }
        _apply(passes.linear_quantize_weights, integers, prog)
        _apply(passes.palettize_weights, palettes, prog)
        _apply(passes.prune_weights, sparse, prog)
        _apply(passes.palettize_weights, joint, prog, joint=True)

    def _weights(self, prog: Any) -> Iterator[tuple[str, Any, Scheme]]:
        """Constants to compress, by name, with the scheme of the first layer that reads them."""
        table = capability_table.of(None).by_name
        for operation in _operations(prog):
            if operation.op_type not in _WEIGHTED:
                continue
            scheme = self.recipe.at(self.names.layer(operation))
            kind: OperatorKind | None = "conv2d" if operation.op_type in LAYERS else None
            least = table[scheme.name].least(kind)
            for value in operation.inputs.values():
                for part in value if isinstance(value, (list, tuple)) else (value,):
                    if not scheme.is_float and _is_weight(part, least):
                        yield part.op.name, part.op, scheme

    def _group(self, constant: Any, scheme: Scheme) -> int:
        """Output channels that share a palette; 0 where all do."""
        readers = {operation.op_type for operation in constant.outputs[0].child_ops}
        if not self.grouped or scheme.weight_bits != _GROUPED_BITS or not readers <= {"conv", "linear"}:
            return 0
        return _nearest(constant.outputs[0].shape[0], _GROUP)

    def _without_zeroless(self, weights: dict[str, tuple[Any, Scheme]]) -> dict[str, tuple[Any, Scheme]]:
        """Sparse schemes only where zeros pay; elsewhere float, or the palette alone."""
        asked = [name for name, (_, scheme) in weights.items() if scheme.sparse]
        dense = [name for name in asked if _zeros(weights[name][0]) < _PAYS[weights[name][1].name]]
        if asked and len(asked) == len(dense):
            raise ExportError(
                "Core ML gains nothing from sparse weights here: none has enough zeros",
                hint="prune the model first (--prune)",
            )
        if dense:
            self.notes.append(f"too few zeros to be stored sparsely: {_listed(self._paths(weights, dense))}")
        kept: dict[str, tuple[Any, Scheme]] = {}
        for name, (operation, scheme) in weights.items():
            if name not in dense:
                kept[name] = operation, scheme
            elif scheme.is_palette:
                kept[name] = operation, replace(scheme, sparse=False)
        return kept

    def _paths(self, weights: Mapping[str, tuple[Any, Scheme]], names: list[str]) -> list[str]:
        readers = [weights[name][0].outputs[0].child_ops[0] for name in names]
        return [self.names.layer(reader) or reader.name for reader in readers]


def compressed(
    model: Any, names: Names, recipe: Recipe, ranges: Mapping[str, tuple[float, float]]
) -> tuple[Any, list[str]]:
    """A copy of `model`, an MLModel, compressed as `recipe` says, and notes on it.

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


def _is_weight(value: Any, least: int) -> bool:
    """Whether an input is a constant float matrix or kernel of at least `least` values."""
    if getattr(value, "op", None) is None or value.op.op_type != "const":
        return False
    array = value.val
    floats = isinstance(array, np.ndarray) and np.issubdtype(array.dtype, np.floating)
    return bool(floats and array.ndim > 1 and array.size >= least)


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


def _integers(constant: Any, scheme: Scheme) -> Any:
    if scheme.granularity == "block":
        shape = constant.outputs[0].shape
        config = {"dtype": "int4", "granularity": "per_block", "block_size": _block(shape)}
        return cto.OpLinearQuantizerConfig(mode="linear_symmetric", **config)
    # `_weights` has left small weights out already
    return cto.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", weight_threshold=0)


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


def _palettes(scheme: Scheme, group: int = 0) -> Any:
    table = _table(1 << scheme.weight_bits, scheme.sparse)
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


def _sparse(scheme: Scheme) -> Any:
    return cto.OpThresholdPrunerConfig(threshold=0.0, minimum_sparsity_percentile=_PAYS[scheme.name])
