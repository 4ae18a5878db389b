"""Features: the inputs and outputs of a function, and the conversion of their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from coremltools.proto import FeatureTypes_pb2
from PIL import Image

from edgepack.emulator.coreml.color_space import ColorSpace
from edgepack.emulator.coreml.operation import Value
from edgepack.errors import BundleError

_NUMPY: Mapping[str, type[np.generic]] = {
    "FLOAT16": np.float16,
    "FLOAT32": np.float32,
    "DOUBLE": np.float64,
    "INT32": np.int32,
    "INT8": np.int8,
}
Sizes: TypeAlias = tuple[tuple[int, int | None], ...]
"""Minimum and maximum of each dimension; None for no maximum."""


@dataclass(frozen=True)
class Feature:
    """An input or output."""

    name: str
    dtype: type[np.generic] | None = None
    """Type of an array; None for other kinds, and if the model does not declare it."""
    shapes: tuple[Sizes, ...] = ()
    """Accepted shapes; those of an image are (height, width). Empty for any shape."""
    color_space: ColorSpace | None = None
    optional: bool = False
    default: float = 0.0
    """Value of all elements of an absent optional input."""

    def tensor(self, value: Any) -> torch.Tensor:
        """An input value as a tensor. Raises BundleError if its kind or shape does not match."""
        if self.color_space is None:
            return self._array(value)
        if not isinstance(value, Image.Image):
            raise BundleError(f"input '{self.name}' takes a PIL image, not {type(value).__name__}")
        self._check((value.height, value.width))
        return self.color_space.tensor(value)

    def filled(self) -> torch.Tensor:
        """The value of an absent optional input."""
        return torch.full([least for least, _ in self.shapes[0]], self.default)

    def output(self, value: Value) -> Any:
        """An output value as in `predict` of Core ML: a label, scores by label, an image or an array."""
        if isinstance(value, str):
            return value
        if isinstance(value, tuple):
            keys, scores = value
            assert isinstance(keys, tuple | torch.Tensor)
            assert isinstance(scores, torch.Tensor)
            return dict(zip(_plain(keys), scores.reshape(-1).tolist(), strict=True))
        if self.color_space is not None:
            return self.color_space.image(value)
        if self.dtype is None:
            return value.item() if value.dim() == 0 else value.numpy()
        return value.numpy().astype(self.dtype)

    def _array(self, value: Any) -> torch.Tensor:
        array = np.array(value)
        if array.dtype.kind not in "fiub":
            raise BundleError(f"input '{self.name}' takes an array of numbers, not {type(value).__name__}")
        self._check(array.shape)
        wide = array.astype(np.float32) if array.dtype.kind == "f" else array.astype(np.int64)
        return torch.from_numpy(wide)

    def _check(self, shape: tuple[int, ...]) -> None:
        if self.shapes and not any(_within(shape, sizes) for sizes in self.shapes):
            accepted = " or ".join(_text(sizes) for sizes in self.shapes)
            raise BundleError(f"input '{self.name}' takes {accepted}, not {' × '.join(map(str, shape))}")


def _plain(keys: Value) -> list[Any]:
    """Labels as strings or integers."""
    if isinstance(keys, torch.Tensor):
        return keys.reshape(-1).tolist()
    return [key.item() if isinstance(key, torch.Tensor) else key for key in keys]


def _within(shape: tuple[int, ...], sizes: Sizes) -> bool:
    return len(shape) == len(sizes) and all(
        least <= size and (most is None or size <= most) for size, (least, most) in zip(shape, sizes)
    )


def _text(sizes: Sizes) -> str:
    return " × ".join(
        str(least) if least == most else f"{least}..{'' if most is None else most}" for least, most in sizes
    )


def read_feature(description: Any) -> Feature:
    """The feature of a `FeatureDescription` in a specification."""
    kind = description.type.WhichOneof("Type")
    if kind == "imageType":
        return _image(description.name, description.type.imageType)
    if kind == "multiArrayType":
        return _array(description)
    return Feature(description.name)


def _image(name: str, image: Any) -> Feature:
    space = FeatureTypes_pb2.ImageFeatureType.ColorSpace.Name(image.colorSpace)
    flexibility = image.WhichOneof("SizeFlexibility")
    shapes: tuple[Sizes, ...] = (_exact((image.height, image.width)),)
    if flexibility == "enumeratedSizes":
        shapes = tuple(_exact((size.height, size.width)) for size in image.enumeratedSizes.sizes)
    elif flexibility == "imageSizeRange":
        ranges = image.imageSizeRange
        shapes = ((_range(ranges.heightRange), _range(ranges.widthRange)),)
    return Feature(name, shapes=shapes, color_space=ColorSpace(space))


def _array(description: Any) -> Feature:
    array = description.type.multiArrayType
    dtype = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.Name(array.dataType)
    flexibility = array.WhichOneof("ShapeFlexibility")
    shapes: tuple[Sizes, ...] = (_exact(tuple(array.shape)),) if array.shape else ()
    if flexibility == "enumeratedShapes":
        shapes = tuple(_exact(tuple(shape.shape)) for shape in array.enumeratedShapes.shapes)
    elif flexibility == "shapeRange":
        shapes = (tuple(_range(sizes) for sizes in array.shapeRange.sizeRanges),)
    default = array.WhichOneof("defaultOptionalValue")
    return Feature(
        description.name,
        _NUMPY.get(dtype),
        shapes,
        optional=description.type.isOptional,
        default=float(getattr(array, default)) if default else 0.0,
    )


def _exact(shape: tuple[int, ...]) -> Sizes:
    return tuple((size, size) for size in shape)


def _range(sizes: Any) -> tuple[int, int | None]:
    return sizes.lowerBound, sizes.upperBound if sizes.upperBound >= 0 else None
