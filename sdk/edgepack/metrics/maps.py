"""Maps of class numbers, such as those of a segmentation: equal values, and intersection over union."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgepack.arrays import Array


def equal(ours: Sequence[Array], reference: Sequence[Array]) -> float:
    """Percentage of equal values, over all samples; 100 where there are none."""
    pairs = [(a.ravel(), b.ravel()) for a, b in zip(ours, reference, strict=True)]
    count = sum(len(b) for _, b in pairs)
    return 100 * sum(int(np.sum(a == b)) for a, b in pairs) / count if count else 100.0


def mean_iou(ours: Sequence[Array], truth: Sequence[Array], ignored: Sequence[int] = ()) -> float:
    """Mean intersection over union of the classes in `truth`, in percent, over the pixels of all samples.

    Pixels whose true class is negative or among `ignored` do not count. 100 where no pixel counts.
    """
    a = np.concatenate([each.ravel() for each in ours]).astype(np.int64)
    b = np.concatenate([each.ravel() for each in truth]).astype(np.int64)
    counted = (b >= 0) & ~np.isin(b, ignored)
    a, b = a[counted], b[counted]
    classes, wanted = np.unique(b, return_counts=True)
    shares: list[float] = []
    for number, there in zip(classes.tolist(), wanted.tolist()):
        here = a == number
        both = int(np.sum(here & (b == number)))
        shares.append(both / (int(here.sum()) + there - both))
    return 100 * float(np.mean(shares)) if shares else 100.0


def rarer_f1(ours: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """F1 score, in percent, of the decision that the reference makes less often; 100 where it never does."""
    if reference.mean() > 0.5:
        ours, reference = ~ours, ~reference
    both = int(np.sum(ours & reference))
    total = int(ours.sum() + reference.sum())
    return 200 * both / total if total else 100.0
