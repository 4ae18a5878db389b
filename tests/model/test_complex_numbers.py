"""Complex numbers become pairs of real ones, with the outputs that torch has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgepack.model.capture import captured

WAVE = torch.randn(2, 256, generator=torch.Generator().manual_seed(0))
WINDOW = torch.hann_window(48)


class Net(nn.Module):
    turns: Tensor

    def __init__(self, run: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.run = run
        self.register_buffer("turns", torch.polar(torch.ones(8, 16), torch.randn(8, 16)))

    def forward(self, x: Tensor) -> Any:
        return (self.run(x),)


def _spectrum(x: Tensor, **options: Any) -> Any:
    return torch.stft(x, 64, return_complex=True, **options)


def _power(x: Tensor) -> Any:
    return _spectrum(x, hop_length=16, win_length=48, window=WINDOW).abs().pow(2)


def _single(x: Tensor) -> Any:
    return torch.view_as_real(_spectrum(x[0], normalized=True, center=False, window=torch.ones(64)))


def _whole(x: Tensor) -> Any:
    found = _spectrum(x, onesided=False, window=torch.hamming_window(64))
    return torch.cat([found.real, found.imag, found.angle().cos()], 1)


def _masked(x: Tensor) -> Any:
    """As speech enhancement: a spectrum, masked and turned back."""
    window = torch.hann_window(64)
    spectrum = _spectrum(x, hop_length=16, window=window)
    mask = torch.sigmoid(spectrum.abs())
    return torch.istft(spectrum * mask, 64, 16, window=window, length=x.shape[1])


def _wrapped(x: Tensor) -> Any:
    window = torch.hann_window(64)
    return torch.istft(_spectrum(x[0], normalized=True, window=window), 64, normalized=True, window=window)


def _mixed(x: Tensor) -> Any:
    """As FNet."""
    return torch.fft.fft(torch.fft.fft(x.view(2, 16, 16), dim=-1), dim=-2).real


def _filtered(x: Tensor) -> Any:
    """As global filter networks and Fourier operators."""
    spectrum = torch.fft.rfft2(x.view(2, 16, 16), norm="ortho")
    return torch.fft.irfft2(spectrum * (0.5 + 0.25j) + 1, s=(16, 16), norm="ortho")


def _truncated(x: Tensor) -> Any:
    spectrum = torch.fft.rfft(x, n=100, norm="forward")[:, 3:20]
    return torch.fft.irfft(torch.conj(spectrum) / 2 - spectrum, n=31)


def _inverse(x: Tensor) -> Any:
    values = torch.complex(x[:1], x[1:])
    return torch.view_as_real(torch.fft.ifft(values) + torch.fft.ifftn(values.exp(), norm="ortho"))


def _rotary(x: Tensor) -> Any:
    """As LLaMA's rotary embedding."""
    values = torch.view_as_complex(x.view(2, 8, 16, 2))
    angles = torch.outer(torch.arange(8), 1 / 10 ** (torch.arange(16) / 16))
    turned = values * torch.polar(torch.ones_like(angles), angles)[None]
    return torch.view_as_real(turned).flatten(2)


RUNS = [_power, _single, _whole, _masked, _wrapped, _mixed, _filtered, _truncated, _inverse, _rotary]


@pytest.mark.parametrize("run", RUNS)
def test_outputs_stay_and_nothing_is_complex(run: Callable[[Tensor], Tensor]) -> None:
    program = captured(Net(run), (WAVE,))
    (found,), wanted = program.module()(WAVE), run(WAVE)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    assert not [node for node in program.graph.nodes if _is_complex(node.meta.get("val"))]
    assert not [node for node in program.graph.nodes if "fft" in str(node.target)]


def test_stored_complex_numbers_are_stored_in_parts() -> None:
    net = Net(lambda x: x)
    net.run = lambda x: (torch.view_as_complex(x.view(2, 8, 16, 2)).roll(1, 2) * net.turns).mean(1).abs()
    program = captured(net, (WAVE,))
    torch.testing.assert_close(program.module()(WAVE)[0], net.run(WAVE))
    assert not [value for value in program.state_dict.values() if _is_complex(value)]


def _too_large(x: Tensor) -> Any:
    return torch.fft.rfft(x, n=4096).abs()


def _unknown(x: Tensor) -> Any:
    return torch.fft.rfft(x).sqrt().abs()


@pytest.mark.parametrize("run", [_too_large, _unknown])
def test_a_graph_with_other_operators_stays_as_it_is(run: Callable[[Tensor], Tensor]) -> None:
    program = captured(Net(run), (WAVE,))
    torch.testing.assert_close(program.module()(WAVE)[0], run(WAVE))
    assert any(_is_complex(node.meta.get("val")) for node in program.graph.nodes)
    assert not [name for name in program.state_dict if "computed" in name]


def _is_complex(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_complex()
