"""The contract: what an app must feed a model, and what it may read from it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgepack.errors import PlanError
from edgepack.toml import Strict

DType = Literal["float32", "float16", "int32", "int64", "uint8", "bool"]
Channels = Literal["RGB", "BGR", "L"]
Dim = Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
Pixels = Annotated[int, Field(ge=1)]


class ImageInput(Strict):
    """A picture. What happens to it, in this order: turned upright by its EXIF entry; converted to
    8-bit `channels`, transparency laid on white; resized; cropped to the centre or padded; its 0..255
    scaled linearly into `value_range`; minus `mean`, over `std`, a channel; laid out as `layout`, with a
    batch dimension of 1. CONTRACT.md, beside this file, defines each step to the last bit.
    """

    kind: Literal["image"]
    name: str = "input"
    size: tuple[Pixels, Pixels]
    """Height and width, in pixels, of what the model takes."""
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    channels: Channels = "RGB"
    resize: Literal["stretch", "shorter-side", "letterbox"] = "shorter-side"
    """`stretch` resizes to `size`; `shorter-side` resizes that side to `resize_to`, then crops;
    `letterbox` makes it fit into `size` and pads."""
    resize_to: Pixels | None = None
    """Pixels of the shorter side before the crop; the larger of `size` where it is not given."""
    pad_value: Annotated[int, Field(ge=0, le=255)] = 0
    """Of every channel, where `letterbox` leaves room."""
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    antialias: bool = True
    """Whether the filter widens as the picture shrinks, as in Pillow; `nearest` never does."""
    value_range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    dtype: Literal["float32", "uint8"] = "float32"
    """`uint8`: the model takes the 8-bit values as they are, and does the rest itself."""

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
        if self.dtype == "uint8" and (self.mean or self.std or self.value_range != (0.0, 1.0)):
            raise ValueError("dtype 'uint8' takes 0..255 as they are: no value_range, mean or std")
        if self.pad_value and self.resize != "letterbox":
            raise ValueError(f"pad_value goes with resize = 'letterbox', not '{self.resize}'")
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
        if self.dtype == "uint8":
            return (1.0,) * self.depth, (0.0,) * self.depth
        low, high = self.value_range
        mean = self.mean or (0.0,) * self.depth
        std = self.std or (1.0,) * self.depth
        scale = tuple((high - low) / 255.0 / s for s in std)
        return scale, tuple((low - m) / s for m, s in zip(mean, std))

    def table(self) -> tuple[tuple[float, ...], ...]:
        """The value of each of the 256 levels, a row a channel, in double precision."""
        low, high = self.value_range
        mean = self.mean or (0.0,) * self.depth
        std = self.std or (1.0,) * self.depth
        return tuple(
            tuple((((high - low) * level / 255 + low) - m) / s for level in range(256))
            for m, s in zip(mean, std)
        )


class TensorInput(Strict):
    """A tensor that the app makes ready itself."""

    kind: Literal["tensor"]
    name: str = "input"
    shape: Annotated[tuple[Dim, ...], Field(min_length=1)]
    """Batch dimension included; a name stands for a dimension that is free."""
    dtype: DType = "float32"
    units: str = ""
    """What the values are measured in, for people."""


class AudioInput(Strict):
    """Sound: samples of one channel at `sample_rate`, from -1 to 1."""

    kind: Literal["audio"]
    name: str = "input"
    sample_rate: Annotated[int, Field(ge=1)]
    """Samples a second, in Hz."""
    shape: Annotated[tuple[Dim, ...], Field(min_length=1)]
    """Batch dimension included; the last is time, in samples."""
    hop: Annotated[int, Field(ge=1)] | None = None
    """New samples a call; what the last dimension holds besides, and before them, are those of the calls
    before, zeros at first. All are new where it is not given."""
    dtype: Literal["float32"] = "float32"

    @model_validator(mode="after")
    def _consistent(self) -> AudioInput:
        length = self.shape[-1]
        if self.hop is not None and (isinstance(length, str) or self.hop > length):
            raise ValueError(f"hop = {self.hop} does not fit into {length} samples")
        return self


class TextInput(Strict):
    """Text: token numbers that the app's tokenizer gives."""

    kind: Literal["text"]
    name: str = "input"
    shape: Annotated[tuple[Dim, ...], Field(min_length=1)]
    """Batch dimension included; the last is the position in the text."""
    dtype: Literal["int32", "int64"] = "int64"
    pad_id: int = 0
    """The token that fills what a short text leaves free."""


Input = Annotated[ImageInput | TensorInput | AudioInput | TextInput, Field(discriminator="kind")]


class Output(Strict):
    """One output tensor of the model."""

    kind: Literal[
        "classification", "class", "detection", "segmentation", "embedding", "regression", "tensor"
    ] = "tensor"
    """`classification` holds a score a class, `class` the number of the best one alone, an integer [1];
    `detection` stands on two outputs, boxes [1, N, 4] first, then scores [1, N] or [1, N, classes];
    `segmentation` holds scores [1, classes, H, W]."""
    name: str = "output"
    labels: tuple[str, ...] = ()
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    """What the app has still to apply to turn the output into scores."""
    threshold: float | None = None
    """Least score that counts as an answer."""
    box_format: Literal["xyxy", "xywh", "cxcywh"] | None = None
    """What the four numbers of a box are; stands on the output of boxes, and there alone."""
    box_units: Literal["pixels", "relative"] = "pixels"
    """Of the model's picture, or from 0 to 1."""
    iou_threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Of two boxes that overlap by more than this, the one with the lower score is left out."""
    units: str = ""
    """What the values are measured in, for people."""

    @model_validator(mode="after")
    def _consistent(self) -> Output:
        if self.labels and self.kind not in _LABELLED:
            raise ValueError(f"labels go with kind {_either(_LABELLED)}, not '{self.kind}'")
        if self.box_format and self.kind != "detection":
            raise ValueError(f"box_format goes with kind 'detection', not '{self.kind}'")
        if self.threshold is not None and self.kind not in _SCORED:
            raise ValueError(f"threshold goes with kind {_either(_SCORED)}, not '{self.kind}'")
        if self.activation != "none" and self.kind == "class":
            raise ValueError(f"kind 'class' holds a number, to which no {self.activation} is applied")
        return self


_LABELLED = ("classification", "class", "detection", "segmentation")
_SCORED = ("classification", "detection")


def _either(kinds: tuple[str, ...]) -> str:
    return " or ".join(f"'{each}'" for each in kinds)


class State(Strict):
    """A tensor that is carried from call to call: an output of one call is an input of the next."""

    input: str
    output: str
    initial: float = 0.0
    """Every value of the input in the first call."""


class Contract(Strict):
    """Inputs and outputs in the order in which the model takes and gives them."""

    schema_number: Literal[2] = 2
    """Of `contract.json`; `contract.schema.json`, beside this file, is its JSON Schema."""
    inputs: Annotated[tuple[Input, ...], Field(min_length=1)]
    outputs: Annotated[tuple[Output, ...], Field(min_length=1)]
    state: tuple[State, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        names = [each.name for each in (*self.inputs, *self.outputs)]
        if len(set(names)) != len(names):
            raise ValueError(f"two inputs or outputs have one name: {', '.join(names)}")
        for each in self.state:
            self._check_state(each)
        boxes = [n for n, each in enumerate(self.outputs) if each.box_format]
        detections = [n for n, each in enumerate(self.outputs) if each.kind == "detection"]
        if detections and (len(boxes) != 1 or detections != [boxes[0], boxes[0] + 1]):
            raise ValueError("kind 'detection' stands on two outputs, boxes (with box_format), then scores")
        return self

    def _check_state(self, state: State) -> None:
        for name, among in ((state.input, self.inputs), (state.output, self.outputs)):
            if name not in [each.name for each in among]:
                raise ValueError(f"state names '{name}', which is none of {', '.join(e.name for e in among)}")

    @property
    def image(self) -> ImageInput | None:
        """The picture, where the model takes one and nothing else."""
        first = self.inputs[0]
        return first if isinstance(first, ImageInput) and len(self.inputs) == 1 else None

    @property
    def sound(self) -> AudioInput | None:
        """The sound, where the model takes one and nothing else but what it carries."""
        carried = {each.input for each in self.state}
        given = [each for each in self.inputs if each.name not in carried]
        first = given[0] if len(given) == 1 else None
        return first if isinstance(first, AudioInput) else None

    @property
    def classes(self) -> Output | None:
        """The first output, where it holds a score a class."""
        return self.outputs[0] if self.outputs[0].kind == "classification" else None

    @property
    def classifies(self) -> bool:
        """Whether the first output tells a class, by scores or by its number."""
        return self.outputs[0].kind in ("classification", "class")

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the classes that an output tells, whichever it is."""
        return next((each.labels for each in self.outputs if each.labels), ())

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
