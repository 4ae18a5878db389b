"""TorchScript as a source: turned into an exported graph that quantizers know.

torch's converter writes every convolution as the general `aten.convolution` and every weight as a
buffer; quantizers look for `aten.conv2d` and its like, and fold only parameters.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgepack.errors import SourceError
from edgepack.silence import quiet

_STATISTICS = ("running_mean", "running_var")


def to_graph(script: torch.jit.ScriptModule, example: tuple[torch.Tensor, ...]) -> GraphModule:
    """The graph of `script`, with the same outputs. Raises SourceError where torch cannot convert it."""
    from torch._export.converter import TS2EPConverter

    try:
        with quiet():
            module: GraphModule = TS2EPConverter(script, example).convert().module()
    except Exception as cause:  # the converter documents no exceptions of its own
        line = str(cause).strip().splitlines()[0] if str(cause).strip() else ""
        raise SourceError(
            f"this TorchScript cannot be turned into an exported program: {type(cause).__name__}: {line}",
            hint="give the Python module itself (file.py:name), or export it to a .pt2",
        ) from cause
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target is torch.ops.aten.convolution.default:
            _specialise(node, module)
    module.recompile()
    _weights_as_parameters(module)
    return module


def _specialise(node: Node, module: GraphModule) -> None:
    """`aten.convolution` as `conv1d`, `conv2d`, `conv3d` or its transposed kind."""
    picture, weight, bias, stride, padding, dilation, transposed, output_padding, groups = node.args
    dims = _held(module, weight).ndim - 2
    if transposed:
        kind: Any = getattr(torch.ops.aten, f"conv_transpose{dims}d")
        node.target = kind.default if dims == 1 else kind.input
        node.args = (picture, weight, bias, stride, padding, output_padding, groups, dilation)
    else:
        node.target = getattr(torch.ops.aten, f"conv{dims}d").default
        node.args = (picture, weight, bias, stride, padding, dilation, groups)


def _held(module: GraphModule, node: Any) -> torch.Tensor:
    """The tensor that a `get_attr` node gives."""
    held: Any = reduce(getattr, str(node.target).split("."), module)
    assert isinstance(held, torch.Tensor)
    return held


def _weights_as_parameters(module: GraphModule) -> None:
    for path, buffer in list(module.named_buffers()):
        holder, _, name = path.rpartition(".")
        if name in _STATISTICS or not buffer.is_floating_point():
            continue
        owner = module.get_submodule(holder)
        delattr(owner, name)
        owner.register_parameter(name, torch.nn.Parameter(buffer, requires_grad=False))
