"""Pre-processing in the graph (`--bake-preprocessing`): the model takes 8-bit images and returns scores."""

from __future__ import annotations

import torch

from edgepack import toml
from edgepack.contract import Contract, ImageInput
from edgepack.errors import SourceError


class GraphPreprocessing(torch.nn.Module):
    """The steps before and after a model of one image, as operators of its graph."""

    scale: torch.Tensor
    bias: torch.Tensor

    def __init__(self, image: ImageInput, activation: str) -> None:
        super().__init__()
        scale, bias = image.per_channel()
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.register_buffer("bias", torch.tensor(bias, dtype=torch.float32))
        self.is_channels_first = image.layout == "NCHW"
        self.activation = activation
        self.training = False

    def before(self, pixels: torch.Tensor) -> torch.Tensor:
        """The model's input for `pixels`, uint8 [1, H, W, channels]."""
        values = pixels.to(torch.float32) * self.scale + self.bias
        return values.permute(0, 3, 1, 2) if self.is_channels_first else values

    def after(self, outputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """The outputs, with the activation applied to the first; softmax is over its last axis."""
        if self.activation == "softmax":
            return (torch.softmax(outputs[0], dim=-1), *outputs[1:])
        return (torch.sigmoid(outputs[0]), *outputs[1:]) if self.activation == "sigmoid" else outputs


def moved_into_graph(contract: Contract) -> tuple[GraphPreprocessing, Contract]:
    """The pre-processing of `contract` as a module, and the contract that remains for the app.

    Raises SourceError unless the model takes exactly one image, in float32.
    """
    image = contract.image
    if image is None or image.dtype != "float32":
        raise SourceError(
            "--bake-preprocessing needs a model that takes one image, as floats",
            hint="declare the input with --input image:…, or omit the flag",
        )
    plain = {"layout": "NHWC", "dtype": "uint8", "mean": (), "std": (), "value_range": (0.0, 1.0)}
    first, *others = contract.outputs
    table = {
        **contract.model_dump(),
        "inputs": [{**image.model_dump(), **plain}],
        "outputs": [
            {**first.model_dump(), "activation": "none"},
            *(output.model_dump() for output in others),
        ],
    }
    remaining = toml.validate(table, Contract, "the contract", SourceError)
    return GraphPreprocessing(image, first.activation), remaining
