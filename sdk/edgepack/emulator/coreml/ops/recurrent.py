"""Recurrent layers: x is [time, n, in], states are [n, hidden].

The output of a reversed layer is in the order of its steps, which start at the end of x. The backward half of
a bidirectional layer is in the order of x. Activations have the constants of Core ML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Inputs, Op

_State = tuple[Tensor, ...]
_Step = Callable[[Tensor, _State], _State]

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "hard_sigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1),
    "linear": lambda x: x,
    "relu": torch.relu,
    "scaled_tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "sigmoid_hard": lambda x: (0.2 * x + 0.5).clamp(0, 1),
    "tanh": torch.tanh,
}


def rnn(inputs: Inputs) -> tuple[Tensor, ...]:
    """h = activation(W x + R h + b). Outputs are all steps or the last, and the last state."""
    activation = _ACTIVATIONS[inputs.text("activation")]
    recurrent = inputs["weight_hh"]

    def step(x: Tensor, state: _State) -> _State:
        return (activation(x + functional.linear(state[0], recurrent)),)

    projected = functional.linear(inputs["x"], inputs["weight_ih"], inputs.get("bias"))
    return _outputs(inputs, _scan(_ordered(inputs, projected), (inputs["initial_h"],), step))


def gru(inputs: Inputs) -> tuple[Tensor, ...]:
    """A gated recurrent unit with gates in the order reset, output, update.

    The reset gate multiplies the state before its matrix product; with `reset_after` of iOS18, it multiplies
    the product and its bias, as in torch.
    """
    inner, outer = (_ACTIVATIONS[inputs.text(name)] for name in ("recurrent_activation", "activation"))
    weights, bias = inputs["weight_hh"].chunk(3), _bias(inputs, "bias")
    after = inputs.has("reset_after") and inputs.flag("reset_after")
    early, late = (torch.zeros_like(bias[1]), bias[1]) if after else (bias[1], None)

    def step(x: Tensor, state: _State) -> _State:
        (h,), (to_reset, to_output, to_update) = state, x.chunk(3, -1)
        reset = inner(to_reset + functional.linear(h, weights[0], bias[0]))
        update = inner(to_update + functional.linear(h, weights[2], bias[2]))
        product = functional.linear(h if after else h * reset, weights[1], late)
        output = outer(to_output + early + (product * reset if after else product))
        return ((1 - update) * output + update * h,)

    projected = functional.linear(inputs["x"], inputs["weight_ih"], inputs.get("input_bias"))
    return _outputs(inputs, _scan(_ordered(inputs, projected), (inputs["initial_h"],), step))


def lstm(inputs: Inputs) -> tuple[Tensor, ...]:
    """A long short-term memory with gates in the order input, forget, output, cell, and with peepholes.

    Outputs are all steps or the last, the last state and the last cell; both directions are concatenated.
    """
    states = inputs["initial_h"], inputs["initial_c"]
    if inputs.text("direction") != "bidirectional":
        frames = _ordered(inputs, _projected(inputs, ""))
        return _outputs(inputs, _scan(frames, states, _lstm_step(inputs, "")))
    ahead, behind = zip(*(state.chunk(2, -1) for state in states))
    first, one = _scan(_projected(inputs, ""), ahead, _lstm_step(inputs, ""))
    second, other = _scan(_projected(inputs, "_back").flip(0), behind, _lstm_step(inputs, "_back"))
    last = tuple(torch.cat(pair, -1) for pair in zip(one, other))
    return _outputs(inputs, (torch.cat([first, second.flip(0)], -1), last))


def _lstm_step(inputs: Inputs, side: str) -> _Step:
    names = ("recurrent_activation", "cell_activation", "activation")
    gate, cell, outer = (_ACTIVATIONS[inputs.text(name)] for name in names)
    recurrent = inputs[f"weight_hh{side}"]
    peephole = inputs.get(f"peephole{side}")
    peepholes = (0.0, 0.0, 0.0) if peephole is None else peephole.chunk(3)
    clip = inputs.number("clip") if inputs.has("clip") else torch.inf

    def step(x: Tensor, state: _State) -> _State:
        h, c = state
        i, f, o, z = (x + functional.linear(h, recurrent)).chunk(4, -1)
        c_next = gate(f + c * peepholes[1]) * c + gate(i + c * peepholes[0]) * cell(z)
        c_next = c_next.clamp(-clip, clip)
        return gate(o + c_next * peepholes[2]) * outer(c_next), c_next

    return step


def _projected(inputs: Inputs, side: str) -> Tensor:
    return functional.linear(inputs["x"], inputs[f"weight_ih{side}"], inputs.get(f"bias{side}"))


def _bias(inputs: Inputs, name: str) -> tuple[Tensor, ...]:
    bias = inputs.get(name)
    return (inputs["weight_hh"].new_zeros(len(inputs["weight_hh"])) if bias is None else bias).chunk(3)


def _ordered(inputs: Inputs, projected: Tensor) -> Tensor:
    return projected.flip(0) if inputs.text("direction") == "reverse" else projected


def _scan(frames: Tensor, state: _State, step: _Step) -> tuple[Tensor, _State]:
    """The first state of each step, [time, n, hidden], and the last states."""
    steps = []
    for frame in frames:
        state = step(frame, state)
        steps.append(state[0])
    return torch.stack(steps), state


def _outputs(inputs: Inputs, scanned: tuple[Tensor, _State]) -> tuple[Tensor, ...]:
    steps, last = scanned
    return (steps if inputs.flag("output_sequence") else last[0][None], *last)


OPS: Mapping[str, Op] = {"gru": gru, "lstm": lstm, "rnn": rnn}
