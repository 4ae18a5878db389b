"""Rewrites of a float ONNX graph: names that quantization needs, and forms that ONNX Runtime computes faster.

Each keeps the values that the graph computes, up to the rounding of a sum or a product.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch

from edgepack.arrays import Array

TRANSPOSED = "_transposed"
"""Suffix of the name of a weight that torch's exporter has stored transposed."""


def rewrite(model: onnx.ModelProto, weights: Mapping[str, torch.Tensor]) -> None:
    """Apply all rewrites in place. `weights` are those of the model in torch, by name."""
    name_transposed(model, weights)
    _fuse_gelu(model)
    _remove_nan_checks(model)
    _sum_residuals(model)


def name_transposed(model: onnx.ModelProto, weights: Mapping[str, torch.Tensor]) -> None:
    """Name the constant factors of MatMul nodes after the weights that they are the transposes of.

    torch's exporter numbers them, and a recipe finds a layer by its weight's name.
    """
    constants = {each.name: each for each in model.graph.initializer}
    unnamed = {
        node.input[1]
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in constants and node.input[1] not in weights
    }
    if not unnamed:
        return
    known = {_digest(value.detach().T.numpy()): name for name, value in weights.items() if value.dim() == 2}
    digests = {name: _digest(onnx.numpy_helper.to_array(constants[name])) for name in sorted(unnamed)}
    names = {
        name: known[digest] + TRANSPOSED
        for name, digest in digests.items()
        if digest in known and known[digest] + TRANSPOSED not in constants
    }
    kept = {old: constants[old] for old in {new: old for old, new in names.items()}.values()}
    for old in names.keys() - kept.keys():
        model.graph.initializer.remove(constants[old])  # a copy of another one
    for old, held in kept.items():
        held.name = names[old]
    for node in model.graph.node:
        node.input[:] = [names.get(each, each) for each in node.input]
    for value in list(model.graph.value_info):
        if value.name in names:
            model.graph.value_info.remove(value)


def _digest(values: Array) -> bytes:
    digest = hashlib.sha256(str(values.shape).encode())
    digest.update(np.ascontiguousarray(values).data)
    return digest.digest()


class _Graph:
    """The nodes of a graph by what they give and read."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.makers = {output: node for node in model.graph.node for output in node.output}
        self.constants = {each.name: each for each in model.graph.initializer}
        self._readers: dict[str, list[Any]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._outputs = {each.name for each in model.graph.output}

    def of_type(self, kind: str) -> list[Any]:
        """The nodes of a type."""
        return [node for node in self.graph.node if node.op_type == kind]

    def maker(self, name: str, kind: str) -> Any | None:
        """The node of a type that alone gives a value which one other node reads; None where it is not so."""
        node = self.makers.get(name)
        private = len(self._readers.get(name, ())) == 1 and name not in self._outputs
        return node if node is not None and node.op_type == kind and private else None

    def is_scalar(self, name: str, value: float) -> bool:
        """Whether a name is that of a constant of one element, of this value up to rounding."""
        held = self.constants.get(name)
        if held is None:
            return False
        array = onnx.numpy_helper.to_array(held)
        return array.size == 1 and bool(np.isclose(array.item(), value, rtol=1e-6))

    def split(self, node: Any, value: float) -> str:
        """The other input of a node that reads a scalar of this value; empty where none is one."""
        first, second = node.input
        if self.is_scalar(second, value):
            return str(first)
        return str(second) if self.is_scalar(first, value) else ""


def _fuse_gelu(model: onnx.ModelProto) -> None:
    """Write `x * (0.5 * (1 + erf))` as `(x * (1 + erf)) * 0.5`, which ONNX Runtime fuses into one kernel."""
    graph = _Graph(model)
    for node in graph.of_type("Mul"):
        for place, name in enumerate(node.input):
            half = graph.maker(name, "Mul")
            inner = graph.split(half, 0.5) if half is not None else ""
            plus = graph.maker(inner, "Add") if inner else None
            error = graph.maker(graph.split(plus, 1.0), "Erf") if plus is not None else None
            if half is None or error is None:
                continue
            scalar = next(each for each in half.input if each != inner)
            other = node.input[1 - place]
            half.input[:] = [other, inner]
            node.input[:] = [half.output[0], scalar]
            break


def _remove_nan_checks(model: onnx.ModelProto) -> None:
    """Remove `where(isnan(p), 0, p)` after a softmax whose mask is finite: no row is without a probability.

    torch's exporter writes it for rows of attention that are masked as a whole with minus infinity.
    """
    graph = _Graph(model)
    removed: list[Any] = []
    renamed: dict[str, str] = {}
    for node in graph.of_type("Where"):
        check = graph.makers.get(node.input[0])
        found = graph.makers.get(node.input[2])
        if check is None or check.op_type != "IsNaN" or not graph.is_scalar(node.input[1], 0.0):
            continue
        if found is None or found.op_type != "Softmax" or check.input[0] != node.input[2]:
            continue
        if _is_finite(graph, found.input[0]) and node.output[0] not in graph._outputs:
            renamed[node.output[0]] = node.input[2]
            removed += [check, node]
    for node in removed:
        model.graph.node.remove(node)
    for node in model.graph.node:
        node.input[:] = [renamed.get(each, each) for each in node.input]


def _is_finite(graph: _Graph, name: str) -> bool:
    """Whether scores are those of a product, or its sum with a mask of finite constants."""
    node = graph.makers.get(name)
    if node is None:
        return False
    if node.op_type == "Add":
        product, mask = (graph.makers.get(each) for each in node.input)
        return product is not None and product.op_type == "MatMul" and _is_finite_mask(graph, mask)
    return bool(node.op_type == "MatMul")


def _is_finite_mask(graph: _Graph, mask: Any | None) -> bool:
    """Whether a mask chooses between finite constants."""
    if mask is None or mask.op_type != "Where":
        return False
    held = [graph.constants.get(each) for each in mask.input[1:]]
    return all(
        each is not None and bool(np.isfinite(onnx.numpy_helper.to_array(each)).all()) for each in held
    )


def _sum_residuals(model: onnx.ModelProto) -> None:
    """Write the addition before a LayerNormalization as `Sum`.

    ONNX Runtime fuses Add and LayerNormalization into SkipLayerNormalization, whose kernel takes longer than
    both (1.32: 80 microseconds for [32, 384], one x86 thread).
    """
    graph = _Graph(model)
    for node in graph.of_type("LayerNormalization"):
        added = graph.makers.get(node.input[0])
        is_residual = added is not None and not any(each in graph.constants for each in added.input)
        if added is not None and added.op_type == "Add" and is_residual:
            added.op_type = "Sum"
