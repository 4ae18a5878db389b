"""Constant folding: what depends on parameters and constants alone is computed once.

Weight norm and other parametrizations, interpolated position tables, masks from `arange`, `full` or
`new_ones`, positional embeddings: layers then read a stored weight, which quantizers and delegates expect.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from edgepack.graph.layers import ATEN, WEIGHTED

_LEAST_ALLOWANCE = 64 * 1024
"""Bytes by which folding may always make a model larger."""
_SHARE = 8
"""A model may grow by one in so many of its bytes."""
_SHAPE_ONLY = frozenset(
    {ATEN.new_ones.default, ATEN.new_zeros.default, ATEN.new_full.default, ATEN.ones_like.default,
     ATEN.zeros_like.default, ATEN.full_like.default}
)  # fmt: skip
"""Operators that depend on the type and shape of their first input only."""
_VALUE_PLACE = {ATEN.new_full.default: 2, ATEN.full_like.default: 1}
_FIXED_VALUE = {ATEN.new_ones.default: 1, ATEN.ones_like.default: 1}


def fold_constants(module: GraphModule) -> int:
    """Replace constant nodes that others read by stored tensors; return how many. Nothing may write in place.

    Folding never makes a model much larger: where a result does, its inputs are folded in its place.
    """
    folder = _Folder(module, constant_nodes(module))
    edge = [node for node in folder.constants if node.op == "call_function" and folder.is_read(node)]
    count = sum(folder.fold(node) for node in edge)
    if count:
        module.graph.eliminate_dead_code()
    return count


def constant_nodes(module: GraphModule) -> dict[Node, None]:
    """The nodes that depend on no input, in order."""
    found: dict[Node, None] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            if isinstance(_attribute(module, node), torch.Tensor):
                found[node] = None
        elif node.op == "call_function" and _is_pure(node) and _is_static(node):
            inputs = node.all_input_nodes[1:] if node.target in _SHAPE_ONLY else node.all_input_nodes
            if all(each in found for each in inputs):
                found[node] = None
    return found


def _is_pure(node: Node) -> bool:
    """Whether equal inputs always give equal outputs, and nothing is written."""
    if node.target is operator.getitem:
        return True
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    is_random = torch.Tag.nondeterministic_seeded in node.target.tags
    return not is_random and not node.target._schema.is_mutable and node.target.namespace == "aten"


def _is_static(node: Node) -> bool:
    """Whether the sizes of a node's value are numbers."""
    value = node.meta.get("val")
    values = value if isinstance(value, (list, tuple)) else [value]
    return all(
        isinstance(each, torch.Tensor) and all(isinstance(size, int) for size in each.shape)
        for each in values
    )


def _attribute(module: GraphModule, node: Node) -> Any:
    owner, _, name = str(node.target).rpartition(".")
    return getattr(module.get_submodule(owner), name)


def _bytes(value: torch.Tensor) -> int:
    return value.numel() * value.element_size()


@dataclass
class _Folder:
    module: GraphModule
    constants: dict[Node, None]
    values: dict[Node, Any] = field(default_factory=dict)
    stored: dict[tuple[object, ...], str] = field(default_factory=dict)
    """Targets of stored tensors, by their owner and content: equal constants are stored once."""

    def __post_init__(self) -> None:
        held = sum(_bytes(each) for each in self.module.state_dict().values())
        self.allowance = max(_LEAST_ALLOWANCE, held // _SHARE)

    def is_read(self, node: Node) -> bool:
        """Whether an operator that is not constant reads the node. An output of the model is not stored."""
        return any(user not in self.constants and user.op == "call_function" for user in node.users)

    def fold(self, node: Node) -> int:
        """Store the value of `node`, or of its inputs where it is too large; return how many were stored."""
        if node.op != "call_function" or not isinstance(node.meta["val"], torch.Tensor):
            return 0
        growth = _bytes(node.meta["val"]) - self._freed(node)
        if growth > self.allowance:
            return sum(self.fold(each) for each in node.all_input_nodes if each in self.constants)
        self.allowance -= max(growth, 0)
        self._store(node, self._value(node).contiguous())
        return 1

    def _freed(self, node: Node) -> int:
        """Bytes of the stored tensors that only `node` depends on."""
        cone, ahead = {node}, [node]
        while ahead:
            before = self.constants.keys() & set(ahead.pop().all_input_nodes) - cone
            cone |= before
            ahead += before
        return sum(
            _bytes(_attribute(self.module, each))
            for each in cone
            if each.op == "get_attr" and cone.issuperset(each.users)
        )

    def _value(self, node: Node) -> Any:
        if node not in self.values:
            self.values[node] = self._computed(node)
        return self.values[node]

    def _computed(self, node: Node) -> Any:
        if node.op == "get_attr":
            return _attribute(self.module, node).detach()
        target: Any = node.target
        if target in _SHAPE_ONLY:
            fake = node.meta["val"]
            place = _VALUE_PLACE.get(target)
            value: Any = node.args[place] if place else _FIXED_VALUE.get(target, 0)
            return torch.full(fake.shape, value, dtype=fake.dtype)
        args, kwargs = map_arg((node.args, node.kwargs), self._value)
        with torch.no_grad():
            return target(*args, **kwargs)

    def _store(self, node: Node, value: torch.Tensor) -> None:
        """Let the readers of `node` read a stored tensor."""
        owner, name = self._place(node)
        content = (owner, name, value.dtype, value.shape, value.numpy().tobytes())
        if content not in self.stored:
            self.stored[content] = self._free(owner, name)
            _register(self.module, self.stored[content], value, is_weight=bool(name))
        with self.module.graph.inserting_before(node):
            read = self.module.graph.get_attr(self.stored[content])
        read.meta.update(node.meta)
        node.replace_all_uses_with(read)
        self.constants[read] = None

    def _place(self, node: Node) -> tuple[str, str]:
        """The module and name of a layer's weight or bias; empty for other constants."""
        for user in node.users:
            if user.target in WEIGHTED:
                places = [name for name, arg in zip(("weight", "bias"), user.args[1:3]) if arg is node]
                if places:
                    return _owner(user), places[0]
        return "", ""

    def _free(self, owner: str, name: str) -> str:
        """A target that nothing has yet; a module owns one layer at most."""
        if not name:
            return _numbered(self.module, "constant_{}")
        taken = {str(node.target) for node in self.module.graph.find_nodes(op="get_attr")}
        wanted = f"{owner}.{name}" if owner else name
        if wanted not in taken and not _is_taken(self.module, wanted):
            return wanted
        return f"{_numbered(self.module, f'{owner}.folded_{{}}' if owner else 'folded_{}')}.{name}"


def _owner(layer: Node) -> str:
    """The path of the module that calls a layer."""
    stack = layer.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values() if path]
    return str(paths[-1]) if paths else ""


def _is_taken(module: torch.nn.Module, target: str) -> bool:
    for part in target.split("."):
        if not hasattr(module, part):
            return False
        module = getattr(module, part)
    return True


def _numbered(module: GraphModule, template: str) -> str:
    number = 0
    while _is_taken(module, template.format(number)):
        number += 1
    return template.format(number)


def _register(module: torch.nn.Module, target: str, value: torch.Tensor, *, is_weight: bool) -> None:
    """Store `value` in `module` as a parameter or a buffer, with the modules on its path."""
    *path, name = target.split(".")
    for part in path:
        if not hasattr(module, part):
            module.add_module(part, torch.nn.Module())
        module = module.get_submodule(part)
    if is_weight and value.is_floating_point():
        module.register_parameter(name, torch.nn.Parameter(value.clone(), requires_grad=False))
    else:
        module.register_buffer(name, value.clone())
