"""The contract: what an app must feed a model, and what it may read from it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgepack.document import Strict
from edgepack.errors import PlanError

SCHEMA = 1

DType = Literal["float32", "float16", "int32", "int64", "uint8", "bool"]
Channels = Literal["RGB", "BGR", "L"]
Dim = Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
Pixels = Annotated[int, Field(ge=1)]


class ImageInput(Strict):
    """A picture. What happens to it, in this order: turned upright by its EXIF entry; converted to
    8-bit `channels`, transparency laid on white; resized (Pillow's `interpolation`, antialiased);
    cropped to the centre; its 0..255 scaled linearly into `value_range`; minus `mean`, over `std`,
    a channel; laid out as `layout`, with a batch dimension of 1.
    """

    kind: Literal["image"]
    name: str = "input"
    size: tuple[Pixels, Pixels]
    """Height and width, in pixels, of what the model takes."""
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    channels: Channels = "RGB"
    resize: Literal["stretch", "shorter-side"] = "shorter-side"
    """`stretch` resizes to `size`; `shorter-side` resizes that side to `resize_to`, then crops."""
    resize_to: Pixels | None = None
    """Pixels of the shorter side before the crop; the larger of `size` where it is not given."""
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    value_range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    dtype: Literal["float32"] = "float32"

    @model_validator(mode="after")
    def _consistent(self) -> ImageInput:
        for key, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != self.depth:
                raise ValueError(
                    f"{key} has {len(values)} values, channels '{self.channels}' are {self.depth}"
                )
        if any(value == 0 for value in self.std):
            raise ValueError("std must not be 0")
        if self.value_range[0] >= self.value_range[1]:
            raise ValueError("value_range must rise")
        if self.resize == "shorter-side" and self.shorter_side < max(self.size):
            raise ValueError(f"resize_to = {self.resize_to} is smaller than the crop {self.size}")
        return self

    @property
    def depth(self) -> int:
        return 1 if self.channels == "L" else 3

    @property
    def shorter_side(self) -> int:
        return self.resize_to or max(self.size)

    @property
    def shape(self) -> tuple[int | str, ...]:
        """Shape of the tensor that the model takes, batch first."""
        if self.layout == "NCHW":
            return (1, self.depth, *self.size)
        return (1, *self.size, self.depth)

    def per_channel(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """`scale` and `bias` a channel, so that the model takes `pixel * scale + bias`."""
        low, high = self.value_range
        mean = self.mean or (0.0,) * self.depth
        std = self.std or (1.0,) * self.depth
        scale = tuple((high - low) / 255.0 / s for s in std)
        return scale, tuple((low - m) / s for m, s in zip(mean, std))


class TensorInput(Strict):
    """A tensor that the app makes ready itself."""

    kind: Literal["tensor"]
    name: str = "input"
    shape: Annotated[tuple[Dim, ...], Field(min_length=1)]
    """Batch dimension included; a name stands for a dimension that is free."""
    dtype: DType = "float32"


Input = Annotated[ImageInput | TensorInput, Field(discriminator="kind")]


class Output(Strict):
    """One output tensor of the model."""

    kind: Literal["classification", "regression", "tensor"] = "tensor"
    name: str = "output"
    labels: tuple[str, ...] = ()
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    """What the app has still to apply to turn the output into scores."""

    @model_validator(mode="after")
    def _consistent(self) -> Output:
        if self.labels and self.kind != "classification":
            raise ValueError(f"labels go with kind 'classification', not '{self.kind}'")
        return self


class Contract(Strict):
    """Inputs and outputs in the order in which the model takes and gives them."""

    schema_number: int = SCHEMA
    inputs: Annotated[tuple[Input, ...], Field(min_length=1)]
    outputs: Annotated[tuple[Output, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        names = [each.name for each in (*self.inputs, *self.outputs)]
        if len(set(names)) != len(names):
            raise ValueError(f"two inputs or outputs have one name: {', '.join(names)}")
        return self

    @property
    def image(self) -> ImageInput | None:
        """The picture, where the model takes one and nothing else."""
        first = self.inputs[0]
        return first if isinstance(first, ImageInput) and len(self.inputs) == 1 else None

    @property
    def classes(self) -> Output | None:
        """The first output, where it holds a score a class."""
        return self.outputs[0] if self.outputs[0].kind == "classification" else None

    @property
    def free_dims(self) -> tuple[str, ...]:
        """Names of the dimensions that may have any size."""
        return tuple(dict.fromkeys(dim for each in self.inputs for dim in each.shape if isinstance(dim, str)))


_TENSOR = re.compile(r"^(?:(?P<name>[A-Za-z_]\w*)=)?tensor:(?P<shape>[^:]+)(?::(?P<dtype>\w+))?$")
_IMAGE = re.compile(r"^(?:(?P<name>[A-Za-z_]\w*)=)?image:(?P<height>\d+)(?:x(?P<width>\d+))?$")


def parse_input(spec: str, position: int) -> dict[str, object]:
    """What `--input SPEC` says, as the keys of an `[input]` table.

    `tensor:1x3x224x224[:float32]` or `image:224[x224]`, either after `name=`.
    Raises PlanError where it is neither.
    """
    default = "input" if position == 0 else f"input_{position}"
    if match := _TENSOR.match(spec):
        dims = [int(dim) if dim.isdigit() else dim for dim in match["shape"].split("x")]
        table: dict[str, object] = {"kind": "tensor", "shape": dims}
        table["name"] = match["name"] or default
        if match["dtype"]:
            table["dtype"] = match["dtype"]
        return table
    if match := _IMAGE.match(spec):
        height, width = int(match["height"]), int(match["width"] or match["height"])
        table = {"kind": "image", "size": [height, width]}
        if match["name"]:
            table["name"] = match["name"]
        return table
    raise PlanError(
        f"--input '{spec}' is not understood",
        hint="write tensor:1x3x224x224[:float32] or image:224[x224], with name= before it if wanted",
    )
