"""SqueezeNet 1.1 of torchvision (arXiv:1602.07360)."""

from __future__ import annotations

import torch
from torch import nn

try:
    from torchvision.models import squeezenet1_1
except RuntimeError:  # torchvision for CUDA with torch for the CPU has no operators
    _operators = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _schema = f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        _operators.define(_schema)
    from torchvision.models import squeezenet1_1


def net() -> nn.Module:
    """Images [N, 3, 227, 227] to logits [N, 1000]; in eval mode, without weights."""
    model: nn.Module = squeezenet1_1().eval()
    return model
