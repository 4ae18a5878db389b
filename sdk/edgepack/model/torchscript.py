"""Convert TorchScript to a graph that quantizers recognize.

torch's converter writes every convolution as the general `aten.convolution` and every weight as a
buffer; quantizers look for `aten.conv2d` and similar operators, and fold only parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgepack.errors import SourceError, first_line
from edgepack.silence import quiet

_STATISTICS = ("running_mean", "running_var")


def to_graph(
    script: torch.jit.ScriptModule,
    arguments: tuple[torch.Tensor, ...],
    keywords: dict[str, torch.Tensor],
) -> GraphModule:
    """The graph of `script`, with the same outputs; it takes all arguments by position, in this order.

    Raises SourceError if torch cannot convert it.
    """
    from torch._export.converter import TS2EPConverter

    try:
        with quiet():
            example = (*arguments, *keywords.values())
            has_gaps = bool(keywords) or _is_optional(script)
            plain = _without_optional(script, arguments, keywords) if has_gaps else script
            module: GraphModule = TS2EPConverter(plain, example).convert().module()
    except Exception as cause:  # the converter documents no exceptions of its own
        raise SourceError(
            f"this TorchScript model cannot be converted to an exported program: {first_line(cause)}",
            hint="give the Python module itself (file.py:name), or export it to a .pt2 file",
        ) from cause
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target is torch.ops.aten.convolution.default:
            _specialize(node, module)
    module.recompile()
    _weights_as_parameters(module)
    return module


@contextmanager
def parts_as_graphs(model: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> Iterator[None]:
    """Inside the block, the parts of `model` that are TorchScript are equal graphs: torch.export follows no
    TorchScript.

    Each is converted for the arguments that it gets when the model runs on `example`. Raises SourceError if
    torch cannot convert one.
    """
    places = [
        (parent, name, part)
        for parent in model.modules()
        if not isinstance(parent, torch.jit.ScriptModule)
        for name, part in parent._modules.items()
        if isinstance(part, torch.jit.ScriptModule)
    ]
    listeners = [_Listener(part) for _, _, part in places]
    try:
        for (parent, name, _), listener in zip(places, listeners):
            parent._modules[name] = listener
        if places:
            with quiet(), torch.no_grad():
                model(*example)
        for (parent, name, _), listener in zip(places, listeners):
            parent._modules[name] = listener.as_graph()
        yield
    finally:
        for parent, name, part in places:
            parent._modules[name] = part


class _Listener(torch.nn.Module):
    """Calls a part in TorchScript, and remembers its arguments of the first call."""

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.script = script
        self._first: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        if self._first is None:
            self._first = arguments, keywords
        return self.script(*arguments, **keywords)

    def as_graph(self) -> torch.nn.Module:
        """The part as a graph; as it is if it was not called."""
        return self.script if self._first is None else to_graph(self.script, *self._first)


def _is_optional(script: torch.jit.ScriptModule) -> bool:
    """Whether the model has parameters that may be None, which torch's converter does not take."""
    arguments = script.forward.schema.arguments  # type: ignore[attr-defined]  # a ScriptMethod
    return any(isinstance(each.type, torch.OptionalType) for each in arguments)


class _Given(torch.nn.Module):
    """A model that takes the given arguments only, by position."""

    def __init__(self, script: torch.jit.ScriptModule, names: tuple[str, ...]) -> None:
        super().__init__()
        self.script = script
        self.names = names

    def forward(self, *inputs: torch.Tensor) -> Any:
        first = len(inputs) - len(self.names)
        return self.script(*inputs[:first], **dict(zip(self.names, inputs[first:])))


def _without_optional(
    script: torch.jit.ScriptModule, arguments: tuple[torch.Tensor, ...], keywords: dict[str, torch.Tensor]
) -> torch.jit.ScriptModule:
    """`script` traced with the arguments that it is given: what the others being None decides is constant."""
    given = _Given(script, tuple(keywords)).eval()
    traced: torch.jit.ScriptModule = torch.jit.trace(
        given, (*arguments, *keywords.values()), check_trace=False
    )
    return traced


def _specialize(node: Node, module: GraphModule) -> None:
    """Replace `aten.convolution` by `conv1d`, `conv2d`, `conv3d` or a transposed convolution."""
    value, weight, bias, stride, padding, dilation, transposed, output_padding, groups = node.args
    dims = _constant(module, weight).ndim - 2
    if transposed:
        kind: Any = getattr(torch.ops.aten, f"conv_transpose{dims}d")
        node.target = kind.default if dims == 1 else kind.input
        node.args = (value, weight, bias, stride, padding, output_padding, groups, dilation)
    else:
        node.target = getattr(torch.ops.aten, f"conv{dims}d").default
        node.args = (value, weight, bias, stride, padding, dilation, groups)


def _constant(module: GraphModule, node: Any) -> torch.Tensor:
    """The tensor of a `get_attr` node."""
    tensor: Any = reduce(getattr, str(node.target).split("."), module)
    assert isinstance(tensor, torch.Tensor)
    return tensor


def _weights_as_parameters(module: GraphModule) -> None:
    for path, buffer in list(module.named_buffers()):
        owner_path, _, name = path.rpartition(".")
        if name in _STATISTICS or not buffer.is_floating_point():
            continue
        owner = module.get_submodule(owner_path)
        delattr(owner, name)
        owner.register_parameter(name, torch.nn.Parameter(buffer, requires_grad=False))
