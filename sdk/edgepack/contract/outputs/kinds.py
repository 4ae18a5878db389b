"""The table of all kinds of output, by their name in a contract."""

from __future__ import annotations

from edgepack.contract.outputs.class_index import CLASS_INDEX
from edgepack.contract.outputs.classification import CLASSIFICATION
from edgepack.contract.outputs.detection import DETECTION
from edgepack.contract.outputs.embedding import EMBEDDING
from edgepack.contract.outputs.kind import OutputKind
from edgepack.contract.outputs.regression import REGRESSION
from edgepack.contract.outputs.segmentation import SEGMENTATION
from edgepack.contract.outputs.tensor import TENSOR

KINDS: dict[str, OutputKind] = {
    kind.name: kind
    for kind in (CLASSIFICATION, CLASS_INDEX, DETECTION, SEGMENTATION, EMBEDDING, REGRESSION, TENSOR)
}
