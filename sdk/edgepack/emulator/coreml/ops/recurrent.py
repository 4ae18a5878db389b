"""Recurrent layers: x of [time, n, in], states of [n, hidden].

A reversed layer gives its steps in the order in which it takes them, the last moment of x first; the
backward half of a bidirectional one gives them in the order of x. Activations have Core ML's constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Given, Op

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


def rnn(given: Given) -> tuple[Tensor, ...]:
    """h = activation(W x + R h + b). Gives the steps or the last one, and the last state."""
    activation = _ACTIVATIONS[given.text("activation")]
    recurrent = given["weight_hh"]

    def step(x: Tensor, state: _State) -> _State:
        return (activation(x + functional.linear(state[0], recurrent)),)

    projected = functional.linear(given["x"], given["weight_ih"], given.get("bias"))
    return _answer(given, _scan(_ordered(given, projected), (given["initial_h"],), step))


def gru(given: Given) -> tuple[Tensor, ...]:
    """A gated recurrent unit of gates reset, output, update.

    The reset gate falls on the state before its matrix product; with iOS18's `reset_after` on the product
    and its bias behind it, as in torch.
    """
    inner, outer = (_ACTIVATIONS[given.text(name)] for name in ("recurrent_activation", "activation"))
    weights, bias = given["weight_hh"].chunk(3), _bias(given, "bias")
    after = given.has("reset_after") and given.flag("reset_after")
    early, late = (torch.zeros_like(bias[1]), bias[1]) if after else (bias[1], None)

    def step(x: Tensor, state: _State) -> _State:
        (h,), (to_reset, to_output, to_update) = state, x.chunk(3, -1)
        reset = inner(to_reset + functional.linear(h, weights[0], bias[0]))
        update = inner(to_update + functional.linear(h, weights[2], bias[2]))
        product = functional.linear(h if after else h * reset, weights[1], late)
        output = outer(to_output + early + (product * reset if after else product))
        return ((1 - update) * output + update * h,)

    projected = functional.linear(given["x"], given["weight_ih"], given.get("input_bias"))
    return _answer(given, _scan(_ordered(given, projected), (given["initial_h"],), step))


def lstm(given: Given) -> tuple[Tensor, ...]:
    """A long short-term memory of gates input, forget, output, cell, with peepholes and a clipped cell.

    Gives the steps or the last one, the last state and the last cell; both directions side by side.
    """
    states = given["initial_h"], given["initial_c"]
    if given.text("direction") != "bidirectional":
        return _answer(given, _scan(_ordered(given, _projected(given, "")), states, _lstm_step(given, "")))
    ahead, behind = zip(*(state.chunk(2, -1) for state in states))
    first, one = _scan(_projected(given, ""), ahead, _lstm_step(given, ""))
    second, other = _scan(_projected(given, "_back").flip(0), behind, _lstm_step(given, "_back"))
    last = tuple(torch.cat(pair, -1) for pair in zip(one, other))
    return _answer(given, (torch.cat([first, second.flip(0)], -1), last))


def _lstm_step(given: Given, side: str) -> _Step:
    names = ("recurrent_activation", "cell_activation", "activation")
    gate, cell, outer = (_ACTIVATIONS[given.text(name)] for name in names)
    recurrent = given[f"weight_hh{side}"]
    peephole = given.get(f"peephole{side}")
    peepholes = (0.0, 0.0, 0.0) if peephole is None else peephole.chunk(3)
    clip = given.number("clip") if given.has("clip") else torch.inf

    def step(x: Tensor, state: _State) -> _State:
        h, c = state
        i, f, o, z = (x + functional.linear(h, recurrent)).chunk(4, -1)
        c_next = gate(f + c * peepholes[1]) * c + gate(i + c * peepholes[0]) * cell(z)
        c_next = c_next.clamp(-clip, clip)
        return gate(o + c_next * peepholes[2]) * outer(c_next), c_next

    return step


def _projected(given: Given, side: str) -> Tensor:
    return functional.linear(given["x"], given[f"weight_ih{side}"], given.get(f"bias{side}"))


def _bias(given: Given, name: str) -> tuple[Tensor, ...]:
    bias = given.get(name)
    return (given["weight_hh"].new_zeros(len(given["weight_hh"])) if bias is None else bias).chunk(3)


def _ordered(given: Given, projected: Tensor) -> Tensor:
    return projected.flip(0) if given.text("direction") == "reverse" else projected


def _scan(frames: Tensor, state: _State, step: _Step) -> tuple[Tensor, _State]:
    """Every step's first state, [time, n, hidden], and the last states."""
    steps = []
    for frame in frames:
        state = step(frame, state)
        steps.append(state[0])
    return torch.stack(steps), state


def _answer(given: Given, scanned: tuple[Tensor, _State]) -> tuple[Tensor, ...]:
    steps, last = scanned
    return (steps if given.flag("output_sequence") else last[0][None], *last)


OPS: Mapping[str, Op] = {"gru": gru, "lstm": lstm, "rnn": rnn}
