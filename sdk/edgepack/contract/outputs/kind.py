"""What every kind of output has: validation, and the metrics of a model file.

A new kind is a module in this folder, and a row in `edgepack.contract.outputs.kinds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edgepack.arrays import Sample


class Declared(Protocol):
    """What a kind reads of an output's declaration."""

    @property
    def kind(self) -> str: ...
    @property
    def box_format(self) -> str | None: ...


@dataclass(frozen=True)
class TaskMetrics:
    """Metrics of one task, in percent; None if they do not exist for it, or were not measured."""

    agreement: float | None = None
    """Samples whose predicted class is the float model's."""
    accuracy_float: float | None = None
    """Top-1 accuracy of the float model, if the samples have labels."""
    accuracy: float | None = None
    """Top-1 accuracy of the model file, on the same samples."""


@dataclass(frozen=True)
class OutputKind:
    """One kind of output."""

    name: str
    has_labels: bool = False
    """Whether the output has a dimension of classes, which `labels` name."""
    has_threshold: bool = False
    """Whether outputs are scores, of which low ones can be dropped."""
    has_boxes: bool = False
    has_values: bool = True
    """Whether outputs are values, which activations change and SQNR compares; a class index is none."""
    has_class: bool = False
    """Whether the output predicts one class per sample."""

    def check(self, outputs: Sequence[Declared]) -> None:
        """Raise ValueError if the outputs of a contract, of which one has this kind, do not fit together."""

    def task_metrics(
        self, outputs: Sequence[Sample], reference: Sequence[Sample], labels: Sequence[int] | None
    ) -> TaskMetrics:
        """Metrics of the task, beyond SQNR, of a model file's outputs compared with the float model's.

        `outputs` and `reference` are paired: one tuple of arrays per sample. `labels` are class
        numbers, one per sample, or None.
        """
        del outputs, reference, labels
        return TaskMetrics()
