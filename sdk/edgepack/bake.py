"""Baking: the graph itself does what the contract asks of an app before and after it."""

from __future__ import annotations

import torch

from edgepack import document
from edgepack.contract import Contract, ImageInput
from edgepack.errors import SourceError


class Bake(torch.nn.Module):
    """What stands in the graph before and after a model of one picture."""

    scale: torch.Tensor
    bias: torch.Tensor

    def __init__(self, image: ImageInput, activation: str) -> None:
        super().__init__()
        scale, bias = image.per_channel()
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.register_buffer("bias", torch.tensor(bias, dtype=torch.float32))
        self.planes = image.layout == "NCHW"
        self.activation = activation
        self.training = False

    def before(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the model takes for `pixels`, uint8 [1, H, W, channels]."""
        values = pixels.to(torch.float32) * self.scale + self.bias
        return values.permute(0, 3, 1, 2) if self.planes else values

    def after(self, outputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """The outputs, the activation applied to the first; softmax is over its last axis."""
        if self.activation == "softmax":
            return (torch.softmax(outputs[0], dim=-1), *outputs[1:])
        return (torch.sigmoid(outputs[0]), *outputs[1:]) if self.activation == "sigmoid" else outputs


def baked(contract: Contract) -> tuple[Bake, Contract]:
    """What goes into the graph, and the contract of the graph with it.

    Raises SourceError where the model takes anything but one picture of single floats.
    """
    image = contract.image
    if image is None or image.dtype != "float32":
        raise SourceError(
            "--bake-preprocessing is for a model that takes one picture, as floats",
            hint="declare the input with --input image:…, or leave the flag out",
        )
    plain = {"layout": "NHWC", "dtype": "uint8", "mean": (), "std": (), "value_range": (0.0, 1.0)}
    first, *others = contract.outputs
    table = {
        **contract.model_dump(),
        "inputs": [{**image.model_dump(), **plain}],
        "outputs": [{**first.model_dump(), "activation": "none"}, *(each.model_dump() for each in others)],
    }
    return Bake(image, first.activation), document.validate(table, Contract, "the contract", SourceError)
