"""Detection: boxes [1, N, 4], then scores [1, N] or [1, N, classes], in two outputs. Judged by SQNR."""

from __future__ import annotations

from collections.abc import Sequence

from edgepack.contract.outputs.kind import Declared, OutputKind


class _Detection(OutputKind):
    def check(self, outputs: Sequence[Declared]) -> None:
        boxes = [n for n, output in enumerate(outputs) if output.box_format]
        detections = [n for n, output in enumerate(outputs) if output.kind == self.name]
        if len(boxes) != 1 or detections != [boxes[0], boxes[0] + 1]:
            raise ValueError("kind 'detection' needs two outputs: boxes (with box_format), then scores")


DETECTION = _Detection("detection", has_labels=True, has_threshold=True, has_boxes=True)
