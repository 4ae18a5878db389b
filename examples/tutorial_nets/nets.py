"""Four networks as in well-known tutorials."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class LeNet(nn.Module):
    """Images [N, 3, 32, 32] to logits [N, 10], as in PyTorch's CIFAR-10 tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(functional.relu(self.conv1(x)))
        x = self.pool(functional.relu(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = functional.relu(self.fc1(x))
        x = functional.relu(self.fc2(x))
        logits: torch.Tensor = self.fc3(x)
        return logits


class Mlp(nn.Module):
    """Features [N, 10] to logits [N, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(10, 5)
        self.fc2 = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.fc1(x))
        logits: torch.Tensor = self.fc2(x)
        return logits


class Mnist(nn.Module):
    """Images [N, 1, 28, 28] to log-probabilities [N, 10], as in PyTorch's MNIST example."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)
        x = functional.relu(x)
        x = self.conv2(x)
        x = functional.relu(x)
        x = functional.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = self.fc1(x)
        x = functional.relu(x)
        x = self.dropout2(x)
        x = self.fc2(x)
        return functional.log_softmax(x, dim=1)


def lenet() -> nn.Module:
    """LeNet for 32x32 images, untrained, in eval mode."""
    return LeNet().eval()


def mlp() -> nn.Module:
    """Two layers, 10-5-2, untrained, in eval mode."""
    return Mlp().eval()


def mnist() -> nn.Module:
    """Two convolutions, two dropouts, two layers, untrained, in eval mode."""
    return Mnist().eval()


def linear() -> nn.Module:
    """One layer from 784 pixels [N, 784] to logits [N, 10], untrained."""
    return nn.Linear(784, 10).eval()
