"""Recurrent layers of a `.pte`: a loop over the steps in place of a copy of the cell for each step.

ExecuTorch has no operator of LSTM, GRU and RNN, and torch decomposes them into all their steps: 100 steps of
a bidirectional layer are thousands of operators, and the time to lower them grows faster than their number.
`torch.scan` has the cell once; ExecuTorch (1.5.1) emits it as a jump. What is read of the whole sequence, the
product of the input with its weights, is computed before the loop, where a delegate can have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.fx import GraphModule, Node

from edgepack.formats.unsupported_operators import refused
from edgepack.graph import layers as graphs
from edgepack.graph.layers import ATEN

_KINDS: dict[Any, str] = {
    ATEN.lstm.input: "lstm",
    ATEN.gru.input: "gru",
    ATEN.rnn_tanh.input: "tanh",
    ATEN.rnn_relu.input: "relu",
}
_MOST_CELLS = 256
"""Cells, of all steps, layers and directions, that are copied at most."""


def as_loops(graph: GraphModule) -> int:
    """Replace recurrent layers by loops, in place; return how many. The result must be exported again."""
    found = [node for node in graph.graph.nodes if node.op == "call_function" and node.target in _KINDS]
    for number, node in enumerate(found):
        name = f"recurrent_{number}"
        graph.add_module(name, _layers(graph, node))
        given, state = node.args[:2]
        states = state if isinstance(state, (list, tuple)) else (state,)
        with graph.graph.inserting_before(node):
            loop = graph.graph.call_module(name, (given, *states))
        loop.meta.update(node.meta)
        node.replace_all_uses_with(loop)
        graph.graph.erase_node(node)
    if found:
        graph.graph.eliminate_dead_code()
        graph.recompile()
    return len(found)


def check_steps(graph: GraphModule) -> None:
    """Raise ExportError where a recurrent layer would be copied for more than `_MOST_CELLS` steps."""
    for node in graph.graph.nodes:
        if node.op != "call_function" or node.target not in _KINDS:
            continue
        arguments: Any = node.args
        steps = arguments[0].meta["val"].shape[1 if arguments[8] else 0]
        cells = steps * int(arguments[4]) * (2 if arguments[7] else 1)
        if cells > _MOST_CELLS:
            why = "it is written step by step for Core ML's delegate"
            raise refused("executorch", node, f"{why}, and {cells} cells are more than {_MOST_CELLS}")


def _layers(graph: GraphModule, node: Node) -> nn.Module:
    """The module of a recurrent operator, with the constants of its parameters."""
    _, state, parameters, has_biases, layers, _, _, bidirectional, batch_first = node.args
    tensors = [graphs.constant(graph, each).detach() for each in parameters]  # type: ignore[union-attr,arg-type]
    count = int(layers) * (2 if bidirectional else 1)  # type: ignore[arg-type]
    size = len(tensors) // count
    kind = _KINDS[node.target]
    directions = [
        _Direction(kind, tensors[n * size : (n + 1) * size], bool(has_biases), bool(bidirectional and n % 2))
        for n in range(count)
    ]
    del state
    return _Recurrent(directions, 2 if bidirectional else 1, bool(batch_first))


class _Recurrent(nn.Module):
    """The layers of a recurrent operator, with its inputs and outputs."""

    def __init__(self, directions: Sequence[_Direction], width: int, batch_first: bool) -> None:
        super().__init__()
        self.directions = nn.ModuleList(directions)
        self.width = width
        """Directions of a layer."""
        self.batch_first = batch_first

    def forward(self, given: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """The outputs of all steps, and each final state [layers * directions, batch, size]."""
        values = given.transpose(0, 1) if self.batch_first else given
        finals: list[tuple[Tensor, ...]] = []
        for first in range(0, len(self.directions), self.width):
            outputs = []
            for number in range(first, first + self.width):
                begin = tuple(state[number].clone() for state in states)  # both can be one tensor of zeros
                output, final = self.directions[number](values, begin)
                outputs.append(output)
                finals.append(final)
            values = torch.cat(outputs, -1) if self.width > 1 else outputs[0]
        last = (torch.stack(each) for each in zip(*finals))
        return (values.transpose(0, 1) if self.batch_first else values, *last)


class _Direction(nn.Module):
    """One direction of one layer. `parameters` are those of torch: input weight, state weight, biases,
    projection."""

    state_weight: Tensor
    state_bias: Tensor
    projection: Tensor | None

    def __init__(self, kind: str, parameters: list[Tensor], has_biases: bool, backward: bool) -> None:
        super().__init__()
        self.kind = kind
        self.is_backward = backward
        given, state, *rest = parameters
        bias, state_bias = rest[:2] if has_biases else (given.new_zeros(len(given)),) * 2
        if kind != "gru":  # only a GRU's new gate needs the biases apart
            bias, state_bias = bias + state_bias, torch.zeros_like(bias)
        projections = rest[2:] if has_biases else rest
        self.given = nn.Linear(given.shape[1], len(given))
        self.given.weight = nn.Parameter(given, requires_grad=False)
        self.given.bias = nn.Parameter(bias, requires_grad=False)
        self.register_buffer("state_weight", state.t().contiguous())
        self.register_buffer("state_bias", state_bias)
        self.register_buffer("projection", projections[0].t().contiguous() if projections else None)

    def forward(self, values: Tensor, begin: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The outputs [steps, batch, size] and the final states, for `values` [steps, batch, size]."""
        products = self.given(values)
        if products.shape[0] == 1:
            state, output = self._step(list(begin), products[0])
            return output.unsqueeze(0), tuple(state)
        if self.is_backward:
            products = products.flip(0)
        states, outputs = scan(self._step, list(begin), products)
        return outputs.flip(0) if self.is_backward else outputs, tuple(states)

    def _step(self, state: list[Tensor], product: Tensor) -> tuple[list[Tensor], Tensor]:
        """The next state and the output of a step; no value may be in both."""
        if self.kind == "lstm":
            hidden, cell = self._lstm(state[0], state[1], product)
            return [hidden, cell], hidden.clone()
        hidden = self._gru(state[0], product) if self.kind == "gru" else self._rnn(state[0], product)
        return [hidden], hidden.clone()

    def _lstm(self, hidden: Tensor, cell: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
        gates = torch.addmm(product, hidden, self.state_weight)
        enter, forget, new, leave = gates.chunk(4, 1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        return hidden if self.projection is None else hidden @ self.projection, cell

    def _gru(self, hidden: Tensor, product: Tensor) -> Tensor:
        reset, update, new = product.chunk(3, 1)
        state_reset, state_update, state_new = torch.addmm(self.state_bias, hidden, self.state_weight).chunk(
            3, 1
        )
        keep = (update + state_update).sigmoid()
        new = (new + (reset + state_reset).sigmoid() * state_new).tanh()
        return new + keep * (hidden - new)

    def _rnn(self, hidden: Tensor, product: Tensor) -> Tensor:
        summed = torch.addmm(product, hidden, self.state_weight)
        return summed.tanh() if self.kind == "tanh" else summed.relu()
