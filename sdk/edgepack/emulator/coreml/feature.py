"""What a function of a model takes and gives, as its description says, and values across that border."""

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
"""Least and most of each dimension; None where there is no most."""


@dataclass(frozen=True)
class Feature:
    """An input or output."""

    name: str
    dtype: type[np.generic] | None = None
    """Of an array; None where it is none, or where it is not told."""
    shapes: tuple[Sizes, ...] = ()
    """Shapes that are accepted, one of them; of a picture, height and width. Empty: any."""
    color_space: ColorSpace | None = None
    optional: bool = False
    default: float = 0.0
    """What fills an input that is optional and not given."""

    def tensor(self, value: Any) -> torch.Tensor:
        """A value as the program takes it. Raises BundleError where it is not of this kind or shape."""
        if self.color_space is None:
            return self._array(value)
        if not isinstance(value, Image.Image):
            raise BundleError(f"input '{self.name}' takes a PIL picture, not {type(value).__name__}")
        self._check((value.height, value.width))
        return self.color_space.tensor(value)

    def filled(self) -> torch.Tensor:
        """What the program computes with where an optional input is left out."""
        return torch.full([least for least, _ in self.shapes[0]], self.default)

    def answer(self, value: Value) -> Any:
        """A value as Core ML's `predict` gives it: a label, scores by label, a picture or an array."""
        if isinstance(value, str):
            return value
        if isinstance(value, tuple):
            keys, scores = value
            assert isinstance(keys, tuple | torch.Tensor)
            assert isinstance(scores, torch.Tensor)
            return dict(zip(_plain(keys), scores.reshape(-1).tolist(), strict=True))
        if self.color_space is not None:
            return self.color_space.picture(value)
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
        if self.shapes and not any(_within(shape, each) for each in self.shapes):
            told = " or ".join(_told(each) for each in self.shapes)
            raise BundleError(f"input '{self.name}' takes {told}, not {' × '.join(map(str, shape))}")


def _plain(keys: Value) -> list[Any]:
    """Labels as they are, or as whole numbers."""
    if isinstance(keys, torch.Tensor):
        return keys.reshape(-1).tolist()
    return [each.item() if isinstance(each, torch.Tensor) else each for each in keys]


def _within(shape: tuple[int, ...], sizes: Sizes) -> bool:
    return len(shape) == len(sizes) and all(
        least <= size and (most is None or size <= most) for size, (least, most) in zip(shape, sizes)
    )


def _told(sizes: Sizes) -> str:
    return " × ".join(
        str(least) if least == most else f"{least}..{'' if most is None else most}" for least, most in sizes
    )


def read_feature(told: Any) -> Feature:
    """A `FeatureDescription` of a specification."""
    kind = told.type.WhichOneof("Type")
    if kind == "imageType":
        return _picture(told.name, told.type.imageType)
    if kind == "multiArrayType":
        return _array(told)
    return Feature(told.name)


def _picture(name: str, told: Any) -> Feature:
    space = FeatureTypes_pb2.ImageFeatureType.ColorSpace.Name(told.colorSpace)
    flexible = told.WhichOneof("SizeFlexibility")
    shapes: tuple[Sizes, ...] = (_exact((told.height, told.width)),)
    if flexible == "enumeratedSizes":
        shapes = tuple(_exact((each.height, each.width)) for each in told.enumeratedSizes.sizes)
    elif flexible == "imageSizeRange":
        ranges = told.imageSizeRange
        shapes = ((_range(ranges.heightRange), _range(ranges.widthRange)),)
    return Feature(name, shapes=shapes, color_space=ColorSpace(space))


def _array(told: Any) -> Feature:
    array = told.type.multiArrayType
    name = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.Name(array.dataType)
    flexible = array.WhichOneof("ShapeFlexibility")
    shapes: tuple[Sizes, ...] = (_exact(tuple(array.shape)),) if array.shape else ()
    if flexible == "enumeratedShapes":
        shapes = tuple(_exact(tuple(each.shape)) for each in array.enumeratedShapes.shapes)
    elif flexible == "shapeRange":
        shapes = (tuple(_range(each) for each in array.shapeRange.sizeRanges),)
    held = array.WhichOneof("defaultOptionalValue")
    return Feature(
        told.name,
        _NUMPY.get(name),
        shapes,
        optional=told.type.isOptional,
        default=float(getattr(array, held)) if held else 0.0,
    )


def _exact(shape: tuple[int, ...]) -> Sizes:
    return tuple((size, size) for size in shape)


def _range(told: Any) -> tuple[int, int | None]:
    return told.lowerBound, told.upperBound if told.upperBound >= 0 else None
