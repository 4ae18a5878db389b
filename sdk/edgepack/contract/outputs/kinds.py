"""The table of all kinds of output by name: those of a contract, and those that are found, not declared."""

from __future__ import annotations

from edgepack.contract.outputs.class_index import CLASS_INDEX
from edgepack.contract.outputs.classification import CLASSIFICATION
from edgepack.contract.outputs.decisions import BINARY, MULTILABEL
from edgepack.contract.outputs.detection import DETECTION
from edgepack.contract.outputs.embedding import EMBEDDING
from edgepack.contract.outputs.integers import INTEGERS
from edgepack.contract.outputs.kind import OutputKind
from edgepack.contract.outputs.regression import REGRESSION
from edgepack.contract.outputs.scores import SCORES
from edgepack.contract.outputs.segmentation import SEGMENTATION
from edgepack.contract.outputs.sequence import SEQUENCE
from edgepack.contract.outputs.tensor import TENSOR, VALUES


def _named(*kinds: OutputKind) -> dict[str, OutputKind]:
    return {kind.name: kind for kind in kinds}


KINDS = _named(
    CLASSIFICATION,
    CLASS_INDEX,
    BINARY,
    MULTILABEL,
    DETECTION,
    SEGMENTATION,
    SEQUENCE,
    EMBEDDING,
    REGRESSION,
    TENSOR,
)
JUDGED = {**KINDS, **_named(SCORES, INTEGERS, VALUES)}
"""Kinds by which outputs are judged: those of contracts, and what an undeclared output turns out to be."""
