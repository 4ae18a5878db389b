"""Image inputs: every step from an 8-bit image to the tensor that the model takes.

`CONTRACT.md` defines these steps bit by bit; `edgepack.contract.preprocess` is their reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from edgepack.contract.inputs.kind import InputKind, fitted, joined
from edgepack.errors import SourceError

if TYPE_CHECKING:
    import numpy as np

    from edgepack.arrays import Array

Channels = Literal["RGB", "BGR", "L"]
Pixels = Annotated[int, Field(ge=1)]

_SLACK = 1e-3
"""Share of the value range by which calibration values may lie outside it."""


class ImageInput(InputKind):
    """An image. Pre-processing, in this order: rotate upright by the EXIF entry; convert to 8-bit
    `channels`, with transparency over white; resize; crop to the centre, or pad; scale 0..255 linearly to
    `value_range`; subtract `mean` and divide by `std`, per channel; arrange as `layout`, with a batch
    dimension of 1. CONTRACT.md, in the folder of this schema, defines each step bit by bit.
    """

    suffixes: ClassVar[frozenset[str]] = frozenset(
        {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"}
    )
    mean_edges: ClassVar[tuple[float, ...]] = tuple(16.0 * n for n in range(1, 16))
    """Edges for 8-bit values."""

    kind: Literal["image"]
    size: tuple[Pixels, Pixels]
    """Height and width of the model's input, in pixels."""
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    """Order of the dimensions of the tensor."""
    channels: Channels = "RGB"
    """Channels of the tensor, in their order; `L` is grey."""
    resize: Literal["stretch", "shorter-side", "letterbox"] = "shorter-side"
    """`stretch` resizes to `size`; `shorter-side` resizes the shorter side to `resize_to`, then crops;
    `letterbox` resizes to fit into `size`, then pads."""
    resize_to: Pixels | None = None
    """Pixels of the shorter side before the crop; the larger of `size` if not given."""
    pad_value: Annotated[int, Field(ge=0, le=255)] = 0
    """Value of every channel in the border of `letterbox`."""
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    """Filter of the resizing."""
    antialias: bool = True
    """Whether the filter widens when the image shrinks, as in Pillow; never with `nearest`."""
    value_range: tuple[float, float] = (0.0, 1.0)
    """The values that 0 and 255 are scaled to, before `mean` and `std`."""
    mean: tuple[float, ...] = ()
    """Subtracted from each channel, in the order of `channels`."""
    std: tuple[float, ...] = ()
    """Divides each channel after `mean` is subtracted."""
    dtype: Literal["float32", "uint8"] = "float32"
    """`uint8`: the model takes 8-bit values and does the rest itself."""

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
            raise ValueError("dtype 'uint8' passes 0..255 unchanged: no value_range, mean or std")
        if self.pad_value and self.resize != "letterbox":
            raise ValueError(f"pad_value goes with resize = 'letterbox', not '{self.resize}'")
        if self.resize == "shorter-side" and self.shorter_side < max(self.size):
            raise ValueError(f"resize_to = {self.resize_to} is smaller than the crop {self.size}")
        return self

    @property
    def depth(self) -> int:
        """Number of channels: 1 or 3."""
        return 1 if self.channels == "L" else 3

    @property
    def shorter_side(self) -> int:
        """Pixels of the shorter side before the crop of `shorter-side`."""
        return self.resize_to or max(self.size)

    @property
    def shape(self) -> tuple[int | str, ...]:
        """Shape of the tensor that the model takes, batch first: [1, depth, H, W] or [1, H, W, depth]."""
        if self.layout == "NCHW":
            return (1, self.depth, *self.size)
        return (1, *self.size, self.depth)

    def per_channel(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """`scale` and `bias` per channel: the model takes `pixel * scale + bias`."""
        if self.dtype == "uint8":
            return (1.0,) * self.depth, (0.0,) * self.depth
        low, high = self.value_range
        mean = self.mean or (0.0,) * self.depth
        std = self.std or (1.0,) * self.depth
        scale = tuple((high - low) / 255.0 / s for s in std)
        return scale, tuple((low - m) / s for m, s in zip(mean, std))

    def table(self) -> tuple[tuple[float, ...], ...]:
        """The value of each of the 256 levels in double precision: one row per channel."""
        low, high = self.value_range
        mean = self.mean or (0.0,) * self.depth
        std = self.std or (1.0,) * self.depth
        return tuple(
            tuple((((high - low) * level / 255 + low) - m) / s for level in range(256))
            for m, s in zip(mean, std)
        )

    def read_file(self, path: Path) -> Array:
        from edgepack.contract import preprocess

        return preprocess.prepare(preprocess.read_image(path, self.channels), self)

    def from_array(self, value: Array, where: str) -> Array:
        """One sample: an 8-bit image is pre-processed, anything else must be a prepared tensor."""
        if value.dtype != "uint8":
            return fitted(value, self.name, self.shape, self.dtype, where)
        from edgepack.contract import preprocess

        if value.ndim == 3 and value.shape[2] == 1:
            value = value[:, :, 0]
        if not value.size or value.ndim not in (2, 3) or value.shape[2:] not in ((), (3,), (4,)):
            got = joined(value.shape) or "a number"
            raise SourceError(f"{where}: a uint8 image is HxW or HxWx3, a sample is {got}")
        return preprocess.prepare(value.astype("uint8"), self)

    def synthetic(self, draw: np.random.Generator) -> Array:
        from edgepack.contract import preprocess

        pixels = (*self.size, self.depth) if self.depth > 1 else self.size
        return preprocess.prepare(draw.integers(0, 256, pixels, dtype="uint8"), self)

    def warnings(self, values: Sequence[Array]) -> list[str]:
        """Values that no image has, and channels that are constant."""
        import numpy as np

        scale, bias = (np.asarray(part) for part in self.per_channel())
        ends = np.stack([bias, bias + 255 * scale])
        low, high = ends.min(axis=0), ends.max(axis=0)
        channels = [np.moveaxis(value, self._channel_axis, 0).reshape(self.depth, -1) for value in values]
        least = np.min([channel.min(axis=1) for channel in channels], axis=0)
        most = np.max([channel.max(axis=1) for channel in channels], axis=0)
        slack = _SLACK * (high - low)
        found = []
        if (least < low - slack).any() or (most > high + slack).any():
            found.append(
                f"calibration samples of '{self.name}' range from {least.min():.3g} to {most.max():.3g}, "
                f"images of the contract from {low.min():.3g} to {high.max():.3g}: are the samples "
                "prepared as in the app?"
            )
        constant = [n for n in range(self.depth) if least[n] == most[n]]
        if constant:
            numbers = ", ".join(str(n) for n in constant)
            found.append(f"channel {numbers} of '{self.name}' is constant over all calibration samples")
        return found

    def doubts(self) -> list[str]:
        """Statistics of another value range than the declared one, such as means of 0..255."""
        low, high = self.value_range
        if all(low <= value <= high for value in self.mean):
            return []
        mean = ", ".join(f"{value:g}" for value in self.mean)
        return [
            f"the mean of '{self.name}' ({mean}) lies outside its value range of {low:g} to {high:g}: "
            "means of 8-bit values need value_range = [0, 255]"
        ]

    def is_blank(self, value: Array) -> bool:
        """Whether all pixels of a prepared image are equal."""
        import numpy as np

        pixels = np.moveaxis(value, self._channel_axis, 0).reshape(self.depth, -1)
        return bool((pixels == pixels[:, :1]).all()) and pixels.shape[1] > 1

    @property
    def _channel_axis(self) -> int:
        return 1 if self.layout == "NCHW" else 3

    def monitored_mean(self, value: Array) -> float:
        """The mean of the 8-bit values that the model sees."""
        if self.dtype == "uint8":
            return super().monitored_mean(value)
        import numpy as np

        scale, bias = (np.asarray(part) for part in self.per_channel())
        pixels = np.moveaxis(value, self._channel_axis, -1).astype(np.float64)
        return float(np.mean(np.round((pixels - bias) / scale)))
