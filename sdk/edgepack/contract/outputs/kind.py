"""What every kind of output has: validation, and the metrics of a model file.

A new kind is a module in this folder, and a row in `edgepack.contract.outputs.kinds`. The numbers are
computed in `edgepack.metrics`, which is imported where it is used: reading a contract needs no NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from edgepack.arrays import Array, Sample


class Declared(Protocol):
    """What a kind reads of an output's declaration."""

    @property
    def kind(self) -> str: ...
    @property
    def activation(self) -> str: ...
    @property
    def threshold(self) -> float | None: ...
    @property
    def box_format(self) -> str | None: ...
    @property
    def iou_threshold(self) -> float: ...
    @property
    def sequence_layout(self) -> str: ...
    @property
    def blank(self) -> int | None: ...


@dataclass(frozen=True)
class Metric:
    """A metric that compares a model file with the float model."""

    name: str
    """As checks and reports name it."""
    title: str = ""
    """Title of its column, without the unit."""
    limit: float | None = None
    """Default limit; None: the target's `min_agreement` for a kind's first metric, none for the others."""
    unit: str = "%"
    bound: Literal["least", "most"] = "least"
    """Whether the limit is the least or the largest value that passes."""


@dataclass(frozen=True)
class TaskMetrics:
    """Metrics of one task; None if they do not exist for it, or were not measured."""

    agreement: float | None = None
    """Percentage by which outputs agree with the float model's, in the kind's own metric."""
    accuracy_float: float | None = None
    """The float model's task metric in percent, if the samples have labels."""
    accuracy: float | None = None
    """That of the model file, on the same samples."""
    more: Mapping[str, float | None] = field(default_factory=dict)
    """Values of the kind's further metrics, by their name."""
    reason: str = ""
    """Why there is no agreement."""


@dataclass(frozen=True)
class Paired:
    """Outputs of a model file and of the float model by sample: one output, or boxes and their scores."""

    declared: Sequence[Declared]
    """These outputs in the contract."""
    outputs: Sequence[Sample]
    reference: Sequence[Sample]
    """The float model's."""
    truth: Sequence[Sample] | None
    """The labels, a tuple per sample: class numbers, values, or boxes and classes; None if there are none."""

    @property
    def ours(self) -> list[Array]:
        """The first of these outputs."""
        return [row[0] for row in self.outputs]

    @property
    def theirs(self) -> list[Array]:
        """The float model's first output."""
        return [row[0] for row in self.reference]

    @property
    def known(self) -> list[Array]:
        """The first array of each sample's labels; there must be labels."""
        assert self.truth is not None
        return [row[0] for row in self.truth]

    def is_labelled_like_output(self, dtypes: str) -> bool:
        """Whether each sample's labels are one array, as large as the output, of a dtype kind in `dtypes`."""
        assert self.truth is not None
        return all(
            len(row) == 1 and row[0].size == theirs[0].size and row[0].dtype.kind in dtypes
            for row, theirs in zip(self.truth, self.reference)
        )


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
    has_steps: bool = False
    """Whether the output is a sequence of decisions."""
    metric: Metric | None = None
    """The metric that `--min-agreement` sets the limit of, in percent; None: SQNR alone."""
    more: tuple[Metric, ...] = ()
    """Further metrics, which catch what the first one does not."""
    task: str = "accuracy"
    """The metric of the task, in percent, that needs labels and that `--max-drop` bounds the loss of."""
    counts_samples: bool = False
    """Whether the metric is a share of samples, each of which is right or wrong."""

    def check(self, outputs: Sequence[Declared]) -> None:
        """Raise ValueError if the outputs of a contract, of which one has this kind, do not fit together."""

    def unfit(self, outputs: Sample) -> str:
        """Why outputs of one sample cannot have this kind; empty if they can."""
        del outputs
        return ""

    def unused_labels(self, paired: Paired) -> str:
        """Why the labels of `paired` say nothing about the float model's outputs; empty if they do."""
        del paired
        return f"kind '{self.name}' has no metric that takes labels"

    def task_metrics(self, paired: Paired) -> TaskMetrics:
        """Metrics of the task, beyond SQNR, of a model file's outputs compared with the float model's."""
        del paired
        return TaskMetrics()
