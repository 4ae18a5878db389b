"""Operators that a format has not, replaced in a captured graph by equal ones that it has.

Nodes that stay keep their names, and the last node of a decomposition takes the name of the operator that it
replaces: ranges and recipes refer to them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg

from edgepack.graph import layers as graphs
from edgepack.graph.in_place import without_in_place
from edgepack.model import capture

Decomposition = Callable[..., Any]
"""A function of an operator's arguments that computes the same by other operators of torch."""
Choice = Callable[[Node], Decomposition | None]
"""The decomposition of a node; None of one that stays."""
_KEPT = ("nn_module_stack", "stack_trace", "source_fn_stack")
"""What a node's parts inherit of it: its module and its line in the model."""


def decompose(graph: GraphModule, choose: Choice) -> int:
    """Replace in place the nodes that `choose` has a decomposition for, and theirs in turn; return how many.

    Raises what torch raises where a decomposition does not take the arguments of its operator.
    """
    count = 0
    before = set(graph._buffers)
    pending = [node for node in graph.graph.nodes if node.op == "call_function"]
    while pending:
        node = pending.pop()
        if (decomposition := choose(node)) is not None:
            pending += _replace(graph, node, decomposition)
            count += 1
    if count:
        graph.graph.eliminate_dead_code()
        read = {node.target for node in graph.graph.nodes if node.op == "get_attr"}
        for name in set(graph._buffers) - before - read:
            delattr(graph, name)
        graph.recompile()
    return count


def decomposed(program: ExportedProgram, choose: Choice) -> ExportedProgram:
    """`program` with the nodes that `choose` has a decomposition for replaced; itself where there are none.

    A decomposition must not have constants of its own.
    """
    if not any(choose(node) for node in operators(program.graph_module)):
        return program
    made = capture.copied(program)
    decompose(made.graph_module, choose)
    return made


def _replace(graph: GraphModule, node: Node, decomposition: Decomposition) -> list[Node]:
    """Put the operators of a decomposition in the place of `node`; return them."""
    tensors = [each for each in node.all_input_nodes if isinstance(_value(graph, each), torch.Tensor)]
    traced, target = _traced(graph, node, tensors, decomposition), node.target
    made: dict[Node, Node] = {}
    inputs = iter(tensors)
    with graph.graph.inserting_before(node):
        for each in traced.graph.nodes:
            if each.op == "placeholder":
                made[each] = next(inputs)
            elif each.op == "get_attr":
                made[each] = _constant(graph, node, traced, each)
            elif each.op == "call_function" and _is_constant([made[inner] for inner in each.all_input_nodes]):
                made[each] = _folded(graph, node, each, made)
            elif each.op == "call_function":
                made[each] = graph.graph.node_copy(each, lambda inner: made[inner])
                made[each].meta.update({key: node.meta[key] for key in _KEPT if key in node.meta})
    outputs = map_arg(traced.graph.output_node().args[0], lambda inner: made[inner])
    take_over(graph, node, outputs)
    fresh = [each for each in made.values() if each.op == "call_function" and each not in tensors]
    return [each for each in fresh if each.target is not target]  # a decomposition into itself ends here


def _traced(graph: GraphModule, node: Node, tensors: list[Node], decomposition: Decomposition) -> GraphModule:
    """`decomposition` of a node's arguments as a graph whose inputs are the node's `tensors`."""
    values = {each: _value(graph, each) for each in node.all_input_nodes}
    found = [each.fake_mode for each in values.values() if isinstance(each, FakeTensor)]
    mode = found[0] if found else FakeTensorMode()
    fakes = [_fake(values[each], mode) for each in tensors]

    def call(*given: torch.Tensor) -> Any:
        now = {**values, **dict(zip(tensors, given))}
        args, kwargs = map_arg((node.args, dict(node.kwargs)), lambda each: now[each])
        return decomposition(*args, **kwargs)

    # before dispatch the operators are those of torch.export; there, a composite one is recorded as itself
    of_itself = decomposition == getattr(node.target, "decompose", None)
    before, mode.allow_non_fake_inputs = mode.allow_non_fake_inputs, True  # constants of a decomposition
    try:
        with torch.no_grad(), mode:
            traced: GraphModule = make_fx(call, pre_dispatch=not of_itself)(*fakes)
    finally:
        mode.allow_non_fake_inputs = before
    without_in_place(traced)  # torch writes some of its own in place
    return traced


def _fake(value: Any, mode: FakeTensorMode) -> Any:
    return value if isinstance(value, FakeTensor) else mode.from_tensor(value.detach(), static_shapes=True)


def _value(graph: GraphModule, node: Node) -> Any:
    """What a node computes: a tensor without data, a number, or a constant of the graph."""
    if "val" in node.meta:
        return node.meta["val"]
    return graphs.constant(graph, node) if node.op == "get_attr" else None


def _constant(graph: GraphModule, node: Node, traced: GraphModule, inner: Node) -> Node:
    """A tensor that a decomposition makes, as a constant of the graph."""
    name = f"{node.name}_{inner.target}"
    graph.register_buffer(name, graphs.constant(traced, inner), persistent=False)
    return graph.graph.get_attr(name)


def _is_constant(inputs: list[Node]) -> bool:
    return bool(inputs) and all(each.op == "get_attr" for each in inputs)


def _folded(graph: GraphModule, node: Node, inner: Node, made: Mapping[Node, Node]) -> Node:
    """The value of an operator on constants, as a constant: delegates take weights that are stored."""
    args, kwargs = map_arg(
        (inner.args, dict(inner.kwargs)), lambda each: graphs.constant(graph, made[each]).detach()
    )
    name = f"{node.name}_{inner.name}"
    value = inner.target(*args, **kwargs)  # type: ignore[operator]  # an operator
    graph.register_buffer(name, value.clone(memory_format=torch.contiguous_format), persistent=False)
    return graph.graph.get_attr(name)


def take_over(graph: GraphModule, node: Node, outputs: Any) -> None:
    """Let the readers of `node` read `outputs` in its place, and give it the node's name."""
    if isinstance(outputs, Node):
        name = node.name
        node.replace_all_uses_with(outputs)
        graph.graph.erase_node(node)
        rename(outputs, name)
        return
    for reader in list(node.users):
        assert reader.target is operator.getitem, "an operator of several outputs is read item by item"
        output, name = outputs[reader.args[1]], reader.name
        if reader.users:
            assert output is not None, "an output that the decomposition has not is not read"
            reader.replace_all_uses_with(output)
        graph.graph.erase_node(reader)
        if output is not None:
            rename(output, name)
    graph.graph.erase_node(node)


def rename(node: Node, name: str) -> None:
    """Give a new node the name of one that was erased."""
    if node.op == "call_function":
        node.name = name


def of_torch(node: Node) -> Decomposition | None:
    """torch's own decomposition of an operator; None where it has none."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return None
    table: Mapping[Any, Decomposition] = torch._decomp.decomposition_table
    if target in table:
        return table[target]
    composed = torch._C.DispatchKey.CompositeImplicitAutograd
    if target.has_kernel_for_dispatch_key(composed):
        return target.decompose
    return None


def argument(node: Node, place: int, name: str, default: Any) -> Any:
    """An argument of an operator, given by place or by name."""
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def operators(graph: GraphModule) -> Iterator[Node]:
    """The nodes of a graph that call an operator."""
    return (node for node in graph.graph.nodes if isinstance(node.target, torch._ops.OpOverload))
