"""Silero VAD 6 for 16 kHz: the probability of speech in audio. Its state is an input and an output.

Layers and names are those of the published weights (https://github.com/snakers4/silero-vad, MIT).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_BINS = 129  # of a short-time Fourier transform with 256 samples
_OVERLAP = 64  # samples of reflection at the end, so that the last window is complete


class SileroVad(nn.Module):
    """Audio [1, 576] and state [2, 1, 128] to the probability of speech [1, 1] and the next state."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * _BINS, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(_BINS, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, sound: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The probability of speech, and the state for the next call."""
        padded = functional.pad(sound.unsqueeze(1), (0, _OVERLAP), mode="reflect")
        waves = self.stft_conv(padded)
        heard = torch.sqrt(waves[:, :_BINS].square() + waves[:, _BINS:].square())
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            heard = torch.relu(layer(heard))
        hidden, cell = self.lstm_cell(heard.squeeze(-1), (state[0], state[1]))
        scores = self.final_conv(torch.relu(hidden.unsqueeze(-1)))
        return torch.sigmoid(scores).mean(-1), torch.stack([hidden, cell])


def net() -> nn.Module:
    """The network with the weights in ``weights.safetensors``."""
    return SileroVad()
