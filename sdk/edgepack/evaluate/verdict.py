"""The verdict on a candidate: whether it meets the goal, and whether it gains anything over float.

Nothing here depends on a clock: bytes decide, and instructions on the emulated device where they are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgepack.evaluate.checks import QUALITY
from edgepack.report import Artifact, sentence

_MOST_BYTES = 0.98
"""Of the float file's: a file with hardly anything quantized has a quantized one's errors for nothing."""


def missed(artifacts: Sequence[Artifact]) -> str:
    """The quality checks that the files of a candidate fail, in words; empty where all pass."""
    failed = [
        sentence(check)
        for artifact in artifacts
        for check in artifact.checks
        if check.verdict == "fail" and check.name in QUALITY
    ]
    return "; ".join(dict.fromkeys(failed))


def no_gain(artifacts: Sequence[Artifact], what: str) -> str:
    """Why `what` (a scheme, or a pruned model) gains nothing over float; empty where it gains.

    It gains where the first file is clearly smaller than the float file and, if the emulated device counted
    them, takes fewer instructions.
    """
    main = artifacts[0]
    if main.size_ratio > _MOST_BYTES:
        return f"{what} makes the file no smaller than float: {main.size_ratio:.2f} of its bytes"
    ratio = main.figures.instructions_ratio
    if ratio is not None and ratio >= 1:
        fewer = f"{what} takes no fewer instructions than float on the emulated device"
        return f"{fewer}: {ratio:.2f} of their number"
    return ""
