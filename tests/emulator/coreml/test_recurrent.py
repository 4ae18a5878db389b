"""Recurrent layers in the evaluator against torch's own, and step by step for what torch has not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from single_op import Constants, computed, drawn, same
from torch import nn

TIME, BATCH, IN, HIDDEN = 5, 2, 3, 4


def _gates(weight: torch.Tensor, order: str, torch_order: str) -> np.ndarray:
    """torch's gates in Core ML's order."""
    parts = dict(zip(torch_order, weight.detach().chunk(len(torch_order))))
    return torch.cat([parts[gate] for gate in order]).numpy()


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-values)))


def _weights(layer: nn.RNNBase, order: str, torch_order: str, side: str = "") -> Constants:
    end, back = ("_reverse", "_back") if side else ("", "")
    found = {f"weight_{at}{back}": getattr(layer, f"weight_{at}_l0{end}") for at in ("ih", "hh")}
    found[f"bias{back}"] = getattr(layer, f"bias_ih_l0{end}") + getattr(layer, f"bias_hh_l0{end}")
    return {name: _gates(each, order, torch_order) for name, each in found.items()}


def _expected(layer: nn.Module, x: np.ndarray, state: object, direction: str) -> tuple[torch.Tensor, Any]:
    """All outputs, and the last state or states."""
    given = torch.from_numpy(x[::-1].copy() if direction == "reverse" else x)
    with torch.no_grad():
        outputs, states = layer(given, state)
    return outputs, states


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("every", [True, False])
def test_lstm_has_torch_s_numbers(direction: str, every: bool) -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(IN, HIDDEN)
    x, h, c = drawn(TIME, BATCH, IN), drawn(BATCH, HIDDEN, seed=1), drawn(BATCH, HIDDEN, seed=2)
    steps, (last, cell) = _expected(
        layer, x, (torch.from_numpy(h)[None], torch.from_numpy(c)[None]), direction
    )
    inputs = {"x": x, "initial_h": h, "initial_c": c}
    settings = _weights(layer, "ifog", "ifgo") | {"direction": direction, "output_sequence": every}
    ours = computed("lstm", inputs, **settings)
    for mine, theirs in zip(ours, (steps if every else steps[-1:], last[0], cell[0]), strict=True):
        same(mine, theirs)


@pytest.mark.parametrize("every", [True, False])
def test_lstm_of_both_directions(every: bool) -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(IN, HIDDEN, bidirectional=True)
    x, h, c = drawn(TIME, BATCH, IN), drawn(BATCH, 2 * HIDDEN, seed=1), drawn(BATCH, 2 * HIDDEN, seed=2)
    states = tuple(torch.stack(torch.from_numpy(each).chunk(2, -1)) for each in (h, c))
    steps, finals = _expected(layer, x, states, "bidirectional")
    weights = _weights(layer, "ifog", "ifgo") | _weights(layer, "ifog", "ifgo", "back")
    settings = weights | {"direction": "bidirectional", "output_sequence": every}
    ours = computed("lstm", {"x": x, "initial_h": h, "initial_c": c}, **settings)
    one = torch.cat([steps[-1:, :, :HIDDEN], steps[:1, :, HIDDEN:]], -1)
    same(ours[0], steps if every else one)
    for mine, theirs in zip(ours[1:], finals, strict=True):
        same(mine, torch.cat(list(theirs), -1))


def test_lstm_looks_through_its_peepholes_and_clips_its_cell() -> None:
    weights: Constants = {
        "weight_ih": drawn(4 * HIDDEN, IN, seed=3),
        "weight_hh": drawn(4 * HIDDEN, HIDDEN, seed=4),
    }
    peephole, x = drawn(3 * HIDDEN, seed=5), drawn(TIME, BATCH, IN)
    h = c = np.zeros((BATCH, HIDDEN), np.float32)
    inputs = {"x": x, "initial_h": h, "initial_c": c}
    ours = computed("lstm", inputs, **weights, peephole=peephole, clip=np.float32(0.3))
    to_i, to_f, to_o = np.split(peephole, 3)
    for frame in x:
        i, f, o, z = np.split(frame @ weights["weight_ih"].T + h @ weights["weight_hh"].T, 4, -1)
        c = np.clip(_sigmoid(f + to_f * c) * c + _sigmoid(i + to_i * c) * np.tanh(z), -0.3, 0.3)
        h = _sigmoid(o + to_o * c) * np.tanh(c)
    same(ours[1], h)
    same(ours[2], c)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_gru_resets_the_state_before_its_product(direction: str) -> None:
    weights: Constants = {
        "weight_ih": drawn(3 * HIDDEN, IN, seed=3),
        "weight_hh": drawn(3 * HIDDEN, HIDDEN, seed=4),
    }
    bias, x, h = drawn(3 * HIDDEN, seed=5), drawn(TIME, BATCH, IN), drawn(BATCH, HIDDEN, seed=6)
    settings: Constants = {"bias": bias, "direction": direction, "output_sequence": True}
    ours = computed("gru", {"x": x, "initial_h": h}, **weights, **settings)
    r_hh, o_hh, z_hh = np.split(weights["weight_hh"], 3)
    for step, frame in enumerate(x[::-1] if direction == "reverse" else x):
        r, o, z = np.split(frame @ weights["weight_ih"].T + bias, 3, -1)
        r, z = _sigmoid(r + h @ r_hh.T), _sigmoid(z + h @ z_hh.T)
        h = (1 - z) * np.tanh(o + (r * h) @ o_hh.T) + z * h
        same(ours[0][step], h)
    same(ours[1], h)


def test_gru_with_reset_after_has_torch_s_numbers() -> None:
    torch.manual_seed(0)
    layer = nn.GRU(IN, HIDDEN)
    x, h = drawn(TIME, BATCH, IN), drawn(BATCH, HIDDEN, seed=1)
    steps, last = _expected(layer, x, torch.from_numpy(h)[None], "forward")
    settings = _weights(layer, "rnz", "rzn") | {
        "input_bias": _gates(layer.get_parameter("bias_ih_l0"), "rnz", "rzn"),
        "bias": _gates(layer.get_parameter("bias_hh_l0"), "rnz", "rzn"),
    }
    ours = computed("gru", {"x": x, "initial_h": h}, 18, reset_after=True, output_sequence=True, **settings)
    same(ours[0], steps)
    same(ours[1], last[0])


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_rnn_has_torch_s_numbers(activation: str, direction: str) -> None:
    torch.manual_seed(0)
    layer = nn.RNN(IN, HIDDEN, nonlinearity=activation)
    x, h = drawn(TIME, BATCH, IN), drawn(BATCH, HIDDEN, seed=1)
    steps, last = _expected(layer, x, torch.from_numpy(h)[None], direction)
    settings = _weights(layer, "h", "h") | {"direction": direction, "activation": activation}
    ours = computed("rnn", {"x": x, "initial_h": h}, **settings, output_sequence=True)
    same(ours[0], steps)
    same(ours[1], last[0])
