"""Class index: the number of the best class, an integer [1]. Judged by agreement and accuracy alone."""

from __future__ import annotations

from edgepack.contract.outputs.classification import AGREEMENT, ClassOutput

CLASS_INDEX = ClassOutput(
    "class", has_labels=True, has_values=False, has_class=True, metric=AGREEMENT, counts_samples=True
)
