"""Labels of samples that are no class numbers: values, maps, sequences, or boxes with their classes.

They are arrays of the `.npz` that holds the samples, one row per sample: `labels`, or `boxes` [samples, N, 4]
(left, top, right, bottom, in the model's own units) and `classes` [samples, N]. Rows of boxes, and steps of a
sequence, that a sample does not have are filled up with the class -1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgepack.arrays import Array, Sample
from edgepack.contract.outputs import OutputKind
from edgepack.errors import SourceError


def read(arrays: Mapping[str, Array], kind: OutputKind, count: int, path: Path) -> tuple[Sample, ...] | None:
    """The labels of `count` samples, for a first output of `kind`; None if there are none, or class numbers.

    Raises SourceError if they do not fit together.
    """
    if kind.has_boxes and {"boxes", "classes"} & set(arrays):
        return _boxes(arrays, count, path)
    if "labels" not in arrays or kind.has_class or not _are_annotations(arrays["labels"]):
        return None
    labels = arrays["labels"]
    _check_count(labels, count, "labels", path)
    return tuple((row,) for row in labels)


def _are_annotations(labels: Array) -> bool:
    """Whether labels are more than one class number per sample: several numbers, or floats."""
    return labels.ndim > 0 and labels.dtype.kind in "iufb" and (labels.ndim > 1 or labels.dtype.kind in "fb")


def _boxes(arrays: Mapping[str, Array], count: int, path: Path) -> tuple[Sample, ...]:
    missing = [name for name in ("boxes", "classes") if name not in arrays]
    if missing:
        raise SourceError(f"{path}: boxes go with classes, and there is no array '{missing[0]}'")
    boxes, classes = arrays["boxes"], arrays["classes"]
    if boxes.ndim != 3 or boxes.shape[2] != 4 or classes.shape != boxes.shape[:2]:
        raise SourceError(
            f"{path}: boxes are [samples, N, 4] and classes [samples, N], not {list(boxes.shape)} and "
            f"{list(classes.shape)}",
            hint="fill up samples with fewer boxes with class -1",
        )
    if classes.dtype.kind not in "iu" or boxes.dtype.kind not in "iuf":
        raise SourceError(
            f"{path}: boxes are numbers and classes integers, not {boxes.dtype}, {classes.dtype}"
        )
    _check_count(boxes, count, "boxes", path)
    return tuple((row, numbers) for row, numbers in zip(boxes, np.asarray(classes, np.int64)))


def _check_count(values: Array, count: int, name: str, path: Path) -> None:
    if len(values) != count:
        raise SourceError(f"{path}: {count} inputs but {len(values)} {name}")
