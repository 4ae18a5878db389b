"""The declaration of one output in a contract."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgepack.contract.outputs.kind import OutputKind
from edgepack.contract.outputs.kinds import KINDS
from edgepack.toml import Strict


class Output(Strict):
    """One output tensor of the model."""

    kind: Literal[
        "classification",
        "class",
        "binary",
        "multilabel",
        "detection",
        "segmentation",
        "sequence",
        "embedding",
        "regression",
        "tensor",
    ] = "tensor"
    """`classification`: one score per class. `class`: the number of the best class, an integer [1].
    `binary`: one score that a threshold decides, [1, 1]. `multilabel`: one such score per label, [1, labels].
    `detection`: two outputs, boxes [1, N, 4] first, then scores [1, N] or [1, N, classes].
    `segmentation`: scores [1, classes, H, W]. `sequence`: scores of classes step by step."""
    name: str = "output"
    """Name of the output in the model file."""
    labels: tuple[str, ...] = ()
    """Names of the classes, in class order."""
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    """What the app must apply to turn the output into scores."""
    threshold: float | None = None
    """Scores below this are dropped, or count as no."""
    box_format: Literal["xyxy", "xywh", "cxcywh"] | None = None
    """Meaning of the four numbers of a box; set for the output of boxes only."""
    box_units: Literal["pixels", "relative"] = "pixels"
    """Pixels of the model's input image, or 0 to 1."""
    iou_threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Two boxes whose intersection over union is larger overlap: the one with the lower score is dropped."""
    sequence_layout: Literal["TC", "CT"] = "TC"
    """Dimensions of a sequence: [1, time, classes] (or [time, 1, classes]), or [1, classes, time]."""
    blank: Annotated[int, Field(ge=0)] | None = None
    """The class of a sequence that stands for no symbol, as CTC has it: repeated classes count once."""
    units: str = ""
    """Unit of the values, for people."""

    @model_validator(mode="after")
    def _consistent(self) -> Output:
        meaning = self.meaning
        if self.labels and not meaning.has_labels:
            raise ValueError(f"labels go with kind {_kinds('has_labels')}, not '{self.kind}'")
        if self.box_format and not meaning.has_boxes:
            raise ValueError(f"box_format goes with kind {_kinds('has_boxes')}, not '{self.kind}'")
        if self.threshold is not None and not meaning.has_threshold:
            raise ValueError(f"threshold goes with kind {_kinds('has_threshold')}, not '{self.kind}'")
        if (self.blank is not None or self.sequence_layout != "TC") and not meaning.has_steps:
            raise ValueError(
                f"blank and sequence_layout go with kind {_kinds('has_steps')}, not '{self.kind}'"
            )
        if self.activation != "none" and not meaning.has_values:
            raise ValueError(f"activation '{self.activation}' does not apply to kind '{self.kind}'")
        return self

    @property
    def meaning(self) -> OutputKind:
        """The behaviour of this output's kind."""
        return KINDS[self.kind]


def _kinds(attribute: str) -> str:
    """The kinds for which `attribute` is true, as in `'a' or 'b'`."""
    return " or ".join(f"'{name}'" for name, kind in KINDS.items() if getattr(kind, attribute))
