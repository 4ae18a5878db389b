"""MobileNetV2 of torchvision (arXiv:1801.04381)."""

from __future__ import annotations

import torch
from torch import nn

try:
    from torchvision.models import mobilenet_v2
except RuntimeError:  # torchvision for CUDA with torch for the CPU has no operators
    _operators = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _schema = f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        _operators.define(_schema)
    from torchvision.models import mobilenet_v2


def net() -> nn.Module:
    """Images [N, 3, 224, 224] to logits [N, 1000]; in eval mode, without weights."""
    model: nn.Module = mobilenet_v2().eval()
    return model
