"""Layers and operators of a captured graph: what they are, what they read, and where they are.

A layer is a convolution or a linear layer with a constant weight. Its `args` begin with the input, the
weight and, if there is one, the bias.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

import torch
from torch.fx import GraphModule, Node

from edgepack.recipe import ROOT

ATEN = torch.ops.aten
CONVOLUTIONS = frozenset({ATEN.conv1d.default, ATEN.conv2d.default, ATEN.conv3d.default})
TRANSPOSED = frozenset({ATEN.conv_transpose1d.default, ATEN.conv_transpose2d.input})
LINEAR = frozenset({ATEN.linear.default})
WEIGHTED = CONVOLUTIONS | TRANSPOSED | LINEAR
"""Operators of layers."""
CELLS = (
    ATEN.lstm_cell.default,
    ATEN.gru_cell.default,
    ATEN.rnn_tanh_cell.default,
    ATEN.rnn_relu_cell.default,
)
"""Recurrent cells: linear layers and activations in one operator."""
PASSES = frozenset(
    {
        ATEN.contiguous.default,
        ATEN.dropout.default,
        ATEN.dropout_.default,
        ATEN.flatten.using_ints,
        ATEN.max_pool2d.default,
        ATEN.pad.default,
        ATEN.permute.default,
        ATEN.reshape.default,
        ATEN.slice.Tensor,
        ATEN.squeeze.dim,
        ATEN.transpose.int,
        ATEN.unsqueeze.default,
        ATEN.view.default,
    }
)
"""Operators that move, drop or repeat values of their first input and change none. `pad` may add one."""
CLAMPS = frozenset(
    {
        ATEN.hardtanh.default,
        ATEN.hardtanh_.default,
        ATEN.relu.default,
        ATEN.relu_.default,
        ATEN.relu6.default,
        ATEN.relu6_.default,
    }
)
"""Activations that an integer kernel computes by the range of its output."""
ADDS = frozenset({ATEN.add.Tensor, ATEN.add_.Tensor})
ELEMENTWISE = ADDS | {ATEN.mul.Tensor, ATEN.mul_.Tensor}
"""Operators on two tensors that have integer kernels."""
COMPUTES = ELEMENTWISE | {
    ATEN.cat.default,
    ATEN.adaptive_avg_pool2d.default,
    ATEN.avg_pool2d.default,
    ATEN.mean.dim,
}
"""Operators without weights that compute new values and have integer kernels."""
ACTIVATIONS = frozenset(
    {ATEN.hardswish.default, ATEN.hardswish_.default, ATEN.hardsigmoid.default, ATEN.hardsigmoid_.default,
     ATEN.silu.default, ATEN.silu_.default, ATEN.sigmoid.default, ATEN.gelu.default, ATEN.softmax.int,
     ATEN.layer_norm.default, ATEN.matmul.default, ATEN.leaky_relu.default, ATEN.leaky_relu_.default,
     ATEN.tanh.default}
)  # fmt: skip
"""Operators that compute in float. Their values are quantized where a quantized layer reads them."""
RESHAPES = frozenset(
    {ATEN.max_pool2d.default, ATEN.flatten.using_ints, ATEN.view.default, ATEN.reshape.default,
     ATEN.pad.default}
)  # fmt: skip
"""Operators of `PASSES` whose values get ranges of their own, too."""
QUANTIZABLE = WEIGHTED | COMPUTES | CLAMPS | ACTIVATIONS | RESHAPES
"""Operators whose values some recipe quantizes."""
ADDED = "smoothing"
"""Beginning of the names of constants that corrections add to a graph; no layer of the model owns them."""
_PARAMETER_OF_CELL = re.compile(r"(?:weight|bias)_((?:ih|hh)\w*)")
"""A parameter of a recurrent layer, by the names that torch gives."""


def path_of(parameter: str) -> str:
    """The module path of the layer that owns a parameter: `model.features.0.weight` → `features.0`.

    A recurrent cell owns two layers, one for its input and one for its state: `cell.bias_hh` → `cell.hh`.
    """
    owner, _, name = parameter.rpartition(".")
    path = owner.removeprefix("model").removeprefix(".")
    if side := _PARAMETER_OF_CELL.fullmatch(name):
        return f"{path}.{side[1]}" if path else side[1]
    return path or ROOT


def layers(graph: GraphModule) -> dict[str, Node]:
    """The layers by module path, in the order in which they run.

    A layer that is used twice is listed once, by its first use.
    """
    found: dict[str, Node] = {}
    for node in graph.graph.nodes:
        if is_layer(node):
            found.setdefault(path_of(str(weight_of(node).target)), node)
    return found


def is_layer(node: Node) -> bool:
    """Whether the node is a convolution or linear layer with a constant weight."""
    if node.op != "call_function" or node.target not in WEIGHTED:
        return False
    weight = node.args[1]
    return isinstance(weight, Node) and weight.op == "get_attr"


def feeding(graph: GraphModule, wanted: Callable[[Node], bool]) -> set[Node]:
    """The nodes whose values reach a layer that is `wanted` before any other layer."""
    found: set[Node] = set()
    for node in reversed(graph.graph.nodes):
        if wanted(node) if is_layer(node) else node in found:
            found |= {each for each in node.all_input_nodes if each.op != "get_attr"}
    return found


def scope(node: Node) -> str:
    """The path of the module that an operator belongs to; `ROOT` at the top."""
    if is_layer(node):
        return path_of(str(weight_of(node).target))
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values() if path]
    return (paths[-1] if paths else "").removeprefix("model").removeprefix(".") or ROOT


def clamp_of(node: Node) -> Node | None:
    """The clamp that is the only reader of a node; None where there is none."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target in CLAMPS else None


def clamp_ends(clamp: Node) -> tuple[float, float]:
    """The least and the greatest value that a clamp gives."""
    if clamp.target in (ATEN.relu.default, ATEN.relu_.default):
        return 0.0, math.inf
    if clamp.target in (ATEN.relu6.default, ATEN.relu6_.default):
        return 0.0, 6.0
    least, most = (*clamp.args[1:3], *(-1.0, 1.0)[len(clamp.args) - 1 :])[:2]
    return float(least), float(most)  # type: ignore[arg-type]  # numbers


def pads_zeros(node: Node) -> bool:
    """Whether a node is a `pad` that adds zeros, which every quantization range contains."""
    return node.target is ATEN.pad.default and node.args[2:] in (
        (),
        ("constant",),
        ("constant", 0.0),
        ("constant", None),
    )


def value_chain(node: Node) -> Iterator[Node]:
    """The node, and then one by one the nodes whose values it passes on."""
    yield node
    while node.op == "call_function" and node.target in PASSES and isinstance(node.args[0], Node):
        node = node.args[0]
        yield node


def value_source(node: Node) -> Node:
    """The node that computed the values which a node passes on."""
    *_, source = value_chain(node)
    return source


def constant(graph: GraphModule, node: Node) -> torch.Tensor:
    """The tensor that a `get_attr` node reads."""
    owner, _, name = str(node.target).rpartition(".")
    tensor = getattr(graph.get_submodule(owner), name)
    assert isinstance(tensor, torch.Tensor)
    return tensor


def set_constant(graph: GraphModule, target: str, value: torch.Tensor) -> None:
    """Replace the tensor that `get_attr` nodes of this target read."""
    owner, _, name = target.rpartition(".")
    holder = graph.get_submodule(owner)
    if name in dict(holder.named_buffers(recurse=False)):
        holder.register_buffer(name, value.detach())
    else:
        holder.register_parameter(name, torch.nn.Parameter(value.detach(), requires_grad=False))


def weight_of(layer: Node) -> Node:
    """The node of a layer's constant weight."""
    weight = layer.args[1]
    assert isinstance(weight, Node)
    return weight


def bias_of(layer: Node) -> Node | None:
    """The node of a layer's constant bias; None where it has none."""
    bias = layer.args[2] if len(layer.args) > 2 else layer.kwargs.get("bias")
    return bias if isinstance(bias, Node) and bias.op == "get_attr" else None


def groups(layer: Node) -> int:
    """Groups of a convolution; 1 of a linear layer."""
    given = layer.args[6] if len(layer.args) > 6 else layer.kwargs.get("groups", 1)
    assert isinstance(given, int)
    return given
