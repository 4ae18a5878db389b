"""MobileNetV2 as torchvision has it (arXiv:1801.04381)."""

from __future__ import annotations

import torch
from torch import nn

try:
    from torchvision.models import mobilenet_v2
except RuntimeError:  # torchvision built for CUDA beside a torch built for the CPU: no operators
    _operators = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _schema = f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        _operators.define(_schema)
    from torchvision.models import mobilenet_v2


def net() -> nn.Module:
    """Pictures [N, 3, 224, 224] to logits [N, 1000]; weights not loaded, ready for inference."""
    model: nn.Module = mobilenet_v2().eval()
    return model
