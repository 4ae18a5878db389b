"""Architectures of torchvision: classifiers, segmentation, detection up to boxes and scores, video."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.zoo.architecture import Architecture, Feed, picture
from benchmarks.zoo.samples import CLASSES

_CLASSIFIERS = {
    "alexnet": 96,
    "vgg11": 64,
    "vgg13_bn": 64,
    "resnet18": 64,
    "resnet34": 64,
    "resnet50": 64,
    "resnext50_32x4d": 64,
    "wide_resnet50_2": 64,
    "squeezenet1_0": 96,
    "squeezenet1_1": 96,
    "densenet121": 64,
    "inception_v3": 96,
    "googlenet": 96,
    "mnasnet0_5": 64,
    "mnasnet1_0": 64,
    "mobilenet_v2": 96,
    "mobilenet_v3_small": 96,
    "mobilenet_v3_large": 96,
    "shufflenet_v2_x0_5": 96,
    "shufflenet_v2_x1_0": 96,
    "efficientnet_b0": 96,
    "efficientnet_b1": 96,
    "efficientnet_v2_s": 96,
    "regnet_x_400mf": 64,
    "regnet_y_400mf": 64,
    "convnext_tiny": 64,
    "swin_t": 64,
    "swin_v2_t": 64,
    "maxvit_t": 224,
}
"""Names, with a side of the image that the network takes sensibly."""
_SEGMENTATION = (
    "lraspp_mobilenet_v3_large",
    "deeplabv3_mobilenet_v3_large",
    "fcn_resnet50",
    "deeplabv3_resnet50",
)
_VIDEO = ("r3d_18", "mc3_18", "r2plus1d_18")
_DETECTION = ("ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn", "fcos_resnet50_fpn")


class _Classifier(nn.Module):
    """The scores of a classifier, without auxiliary outputs."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__()
        import torchvision

        options.setdefault("num_classes", CLASSES)
        self.net = torchvision.models.get_model(name, weights=None, **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.net(x)
        return scores


class _Segmentation(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        import torchvision

        self.net = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.net(x)["out"]
        return scores


class _Detection(nn.Module):
    """A detector up to its raw boxes and scores: what follows has outputs of no fixed size."""

    def __init__(self, name: str) -> None:
        super().__init__()
        import torchvision

        net = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=6)
        self.backbone, self.head = net.backbone, net.head

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = list(self.backbone(x).values())
        found: dict[str, torch.Tensor] = self.head(features)
        return found


def _classifier(name: str, side: int) -> Architecture:
    options = {"aux_logits": False} if name in ("inception_v3", "googlenet") else {}
    options |= {"init_weights": True} if options else {}
    return Architecture(f"torchvision/{name}", lambda: _Classifier(name, **options), picture(side))


def _vit() -> Architecture:
    return Architecture("torchvision/vit_b_32", lambda: _Classifier("vit_b_32", image_size=96), picture(96))


def _video(name: str) -> Architecture:
    return Architecture(
        f"torchvision/{name}", lambda: _Classifier(name), (Feed("x", "frames", (1, 3, 4, 32, 32)),)
    )


def _segmentation(name: str) -> Architecture:
    return Architecture(f"torchvision/{name}", lambda: _Segmentation(name), picture(64))


def _detection(name: str) -> Architecture:
    return Architecture(f"torchvision/{name}", lambda: _Detection(name), picture(96))


def architectures() -> list[Architecture]:
    """All of torchvision's."""
    return [
        *(_classifier(name, side) for name, side in _CLASSIFIERS.items()),
        _vit(),
        *map(_segmentation, _SEGMENTATION),
        *map(_detection, _DETECTION),
        *map(_video, _VIDEO),
    ]
