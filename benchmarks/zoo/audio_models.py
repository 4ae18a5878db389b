"""Networks for sound and for sensors, as the field writes them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import parametrizations

from benchmarks.zoo.architecture import Architecture, Feed
from benchmarks.zoo.samples import CLASSES


def _ds_cnn() -> nn.Module:
    """Keyword spotting with depthwise separable convolutions (https://arxiv.org/abs/1711.07128)."""
    layers: list[nn.Module] = [nn.Conv2d(1, 64, (10, 4), 2, (5, 1)), nn.BatchNorm2d(64), nn.ReLU()]
    for _ in range(4):
        layers += [nn.Conv2d(64, 64, 3, 1, 1, groups=64), nn.BatchNorm2d(64), nn.ReLU()]
        layers += [nn.Conv2d(64, 64, 1), nn.BatchNorm2d(64), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


def _m5() -> nn.Module:
    """Convolutions on raw sound (https://arxiv.org/abs/1610.00087)."""
    layers: list[nn.Module] = []
    for inputs, outputs, kernel, stride in ((1, 32, 80, 16), (32, 32, 3, 1), (32, 64, 3, 1), (64, 64, 3, 1)):
        layers += [
            nn.Conv1d(inputs, outputs, kernel, stride),
            nn.BatchNorm1d(outputs),
            nn.ReLU(),
            nn.MaxPool1d(2),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, CLASSES))


class _Residual(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, 2 * width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = self.conv(x).chunk(2, dim=1)
        mixed: torch.Tensor = self.mix(torch.tanh(value) * torch.sigmoid(gate))
        return x + mixed


def _wavenet() -> nn.Module:
    """Gated dilated convolutions (https://arxiv.org/abs/1609.03499)."""
    blocks = [_Residual(32, 2**power) for power in range(5)]
    return nn.Sequential(nn.Conv1d(1, 32, 9, 4, 4), *blocks, nn.ReLU(), nn.Conv1d(32, 8, 1))


class _Crnn(nn.Module):
    """Convolutions, a bidirectional GRU, and a score for each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d((1, 2)),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d((1, 2)),
        )  # fmt: skip
        self.rnn = nn.GRU(32 * 8, 48, batch_first=True, bidirectional=True)
        self.head = nn.Linear(96, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.features(x).permute(0, 2, 1, 3).flatten(2)
        scores: torch.Tensor = self.head(self.rnn(found)[0])
        return scores


class _Recurrent(nn.Module):
    """A recurrent network whose last state is classified."""

    def __init__(
        self, kind: type[nn.LSTM] | type[nn.GRU], width: int, layers: int, *, bidirectional: bool
    ) -> None:
        super().__init__()
        self.rnn = kind(width, 48, layers, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(48 * (2 if bidirectional else 1), CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.rnn(x)[0][:, -1])
        return scores


class _Denoiser(nn.Module):
    """A U-Net on raw sound with GLU and an LSTM in the middle (https://arxiv.org/abs/2006.12847)."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv1d(a, b, 8, 4, 2), nn.ReLU(), nn.Conv1d(b, 2 * b, 1), nn.GLU(1))
            for a, b in ((1, 16), (16, 32))
        )
        self.lstm = nn.LSTM(32, 32, batch_first=True)
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv1d(a, 2 * a, 1), nn.GLU(1), nn.ConvTranspose1d(a, b, 8, 4, 2))
            for a, b in ((32, 16), (16, 1))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = self.lstm(x.transpose(1, 2))[0].transpose(1, 2)
        for up in self.up:
            x = up(x + skips.pop())
        return x


def _generator() -> nn.Module:
    """A vocoder with weight normalization (https://arxiv.org/abs/2010.05646)."""
    norm = parametrizations.weight_norm
    return nn.Sequential(
        norm(nn.Conv1d(40, 64, 7, padding=3)), nn.LeakyReLU(0.1),
        norm(nn.ConvTranspose1d(64, 32, 8, 4, 2)), nn.LeakyReLU(0.1), norm(nn.Conv1d(32, 32, 3, padding=1)),
        nn.LeakyReLU(0.1), norm(nn.ConvTranspose1d(32, 16, 8, 4, 2)), nn.LeakyReLU(0.1),
        norm(nn.Conv1d(16, 1, 7, padding=3)), nn.Tanh(),
    )  # fmt: skip


class _Conformer(nn.Module):
    """A conformer block (https://arxiv.org/abs/2005.08100) and a score for each frame."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.project = nn.Linear(40, width)
        self.first, self.second = (self._feed_forward(width) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.conv_norm = nn.LayerNorm(width)
        self.conv = nn.Sequential(
            nn.Conv1d(width, 2 * width, 1), nn.GLU(1), nn.Conv1d(width, width, 9, padding=4, groups=width),
            nn.BatchNorm1d(width), nn.SiLU(), nn.Conv1d(width, width, 1),
        )  # fmt: skip
        self.head = nn.Linear(width, CLASSES)

    @staticmethod
    def _feed_forward(width: int) -> nn.Module:
        return nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.project(x)
        x = x + 0.5 * self.first(x)
        normed = self.norm(x)
        x = x + self.attention(normed, normed, normed, need_weights=False)[0]
        x = x + self.conv(self.conv_norm(x).transpose(1, 2)).transpose(1, 2)
        scores: torch.Tensor = self.head(x + 0.5 * self.second(x))
        return scores


def _spectrum(*shape: int) -> tuple[Feed, ...]:
    return (Feed("x", "features", shape),)


def _sound(*shape: int) -> tuple[Feed, ...]:
    return (Feed("x", "tones", shape),)


def architectures() -> list[Architecture]:
    """Keyword spotting, recognition, denoising, vocoding, and sensors."""
    return [
        Architecture("audio/ds_cnn", _ds_cnn, _spectrum(1, 1, 49, 10)),
        Architecture("audio/m5", _m5, _sound(1, 1, 4000)),
        Architecture("audio/wavenet", _wavenet, _sound(1, 1, 1024)),
        Architecture("audio/crnn", _Crnn, _spectrum(1, 1, 40, 32)),
        Architecture(
            "audio/lstm", lambda: _Recurrent(nn.LSTM, 16, 1, bidirectional=False), _spectrum(1, 32, 16)
        ),
        Architecture(
            "audio/bilstm", lambda: _Recurrent(nn.LSTM, 16, 2, bidirectional=True), _spectrum(1, 32, 16)
        ),
        Architecture(
            "audio/gru", lambda: _Recurrent(nn.GRU, 16, 2, bidirectional=False), _spectrum(1, 32, 16)
        ),
        Architecture("audio/denoiser", _Denoiser, _sound(1, 1, 1024)),
        Architecture("audio/generator", _generator, _spectrum(1, 40, 32)),
        Architecture("audio/conformer", _Conformer, _spectrum(1, 32, 40)),
    ]
