"""Self-test: the golden vectors of the bundle, replayed on this device.

Each sample's outputs are compared with what this very file gave on the build host. Kernels differ
from device to device, so they are compared by direction and by top class, not bit by bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import preprocess, scores
from .contract import (
    CONTRACT,
    GOLDEN_FLOAT_OUTPUTS,
    GOLDEN_HOST_OUTPUTS,
    GOLDEN_INPUTS,
    GOLDEN_PICTURE,
    TOLERANCE,
)
from .runtime import Runtime
from .sample import PICTURE

_CLASSIFIES = CONTRACT["outputs"][0]["kind"] in ("classification", "class")


class GoldenError(Exception):
    """The golden vectors are missing or unreadable."""


def samples(bundle: Path) -> list[list[NDArray[Any]]]:
    """The golden inputs, sample by sample, as the model takes them. Raises GoldenError."""
    return _by_sample(bundle, GOLDEN_INPUTS, len(CONTRACT["inputs"]))


def run(bundle: Path, model: Runtime, labels: list[str]) -> bool:
    """Replay every golden sample, print a line each, and tell whether all match. Raises GoldenError."""
    inputs = samples(bundle)
    count = len(CONTRACT["outputs"])
    floats = _by_sample(bundle, GOLDEN_FLOAT_OUTPUTS, count)
    of_host = (bundle / f"{GOLDEN_HOST_OUTPUTS}0.npy").exists()
    wanted = _by_sample(bundle, GOLDEN_HOST_OUTPUTS, count) if of_host else floats
    if not len(inputs) == len(floats) == len(wanted) > 0:
        raise GoldenError("the golden files hold different numbers of samples, or none")
    other = "this file's on the build host" if of_host else "the float model's (no other is kept)"
    top = ", and the same top class where it is clear" if _CLASSIFIES else ""
    print(f"outputs here against {other}: cosine of {TOLERANCE} or more{top}")
    same = _same_bits(bundle)
    matching = agreeing = 0
    for number, (sample, want, exact) in enumerate(zip(inputs, wanted, floats)):
        got = model.run(sample)
        problems = _problems(got, want, labels)
        print(f"sample {number}: {_figures(got, want, labels)} {'; '.join(problems) or 'ok'}")
        matching += not problems
        agreeing += scores.best(got) == scores.best(exact)
    passed = same and matching == len(inputs)
    print(f"{'passed' if passed else 'FAILED'}: {matching} of {len(inputs)} match")
    if _CLASSIFIES:
        print(f"top class is the float model's in {agreeing} of {len(inputs)}")
    return passed


def _same_bits(bundle: Path) -> bool:
    """Whether pre-processing makes of the golden picture what it made on the build host."""
    if PICTURE is None:
        return True
    try:
        picture = np.load(bundle / f"{GOLDEN_PICTURE}.npy", allow_pickle=False)
        wanted = np.load(bundle / f"{GOLDEN_PICTURE}_tensor.npy", allow_pickle=False)
    except (OSError, EOFError, ValueError) as cause:
        raise GoldenError(f"the golden picture cannot be read: {cause}") from cause
    same = np.array_equal(preprocess.prepared(preprocess.framed(picture, PICTURE), PICTURE), wanted)
    print(f"pre-processing: {'the same bits, ok' if same else 'other bits than on the build host'}")
    return same


def _by_sample(bundle: Path, prefix: str, count: int) -> list[list[NDArray[Any]]]:
    """The arrays `prefix0.npy` … (each [n, …]) as n samples of `count` arrays."""
    paths = [bundle / f"{prefix}{number}.npy" for number in range(count)]
    try:
        stacks = [np.load(path, allow_pickle=False) for path in paths]
    except (OSError, EOFError, ValueError) as cause:
        raise GoldenError(f"golden vectors cannot be read: {cause}") from cause
    if len({len(stack) for stack in stacks}) != 1:
        raise GoldenError(f"{prefix}*.npy hold different numbers of samples")
    return [[np.array(stack[number], order="C") for stack in stacks] for number in range(len(stacks[0]))]


def _problems(got: list[NDArray[Any]], want: list[NDArray[Any]], labels: list[str]) -> list[str]:
    """What is wrong with one sample's outputs, in words; empty where they match."""
    shapes = [each.shape for each in got]
    if shapes != [each.shape for each in want]:
        return [f"shapes are {shapes}, not {[each.shape for each in want]}"]
    if not all(np.isfinite(each).all() for each in got):
        return ["not all outputs are finite"]
    problems = []
    if min(_likeness(mine, golden) for mine, golden in zip(got, want)) < TOLERANCE:
        problems.append("too far off")
    wanted = scores.best(want)
    if wanted is not None and scores.best(got) != wanted and _clear(got[0], want[0]):
        problems.append(f"top should be {scores.label(wanted, labels)}")
    return problems


def _figures(got: list[NDArray[Any]], want: list[NDArray[Any]], labels: list[str]) -> str:
    """One sample's figures, for people."""
    if [each.shape for each in got] != [each.shape for each in want]:
        return ""
    likeness = min(_likeness(mine, golden) for mine, golden in zip(got, want))
    difference = max(_difference(mine, golden) for mine, golden in zip(got, want))
    text = f"cosine {likeness:.6f}, largest difference {difference:.3g},"
    best = scores.best(got)
    return text if best is None else f"{text} top: {scores.label(best, labels)},"


def _likeness(mine: NDArray[Any], golden: NDArray[Any]) -> float:
    """Cosine of two outputs as vectors; of two single numbers, which have no direction, 1 minus
    their relative difference, and of two whole ones 0 where they are not the same."""
    a, b = mine.astype(np.float64).ravel(), golden.astype(np.float64).ravel()
    if np.array_equal(a, b):
        return 1.0
    if a.size == 1 and mine.dtype.kind in "iu":
        return 0.0
    if a.size == 1:
        return float(1 - abs(a[0] - b[0]) / max(abs(a[0]), abs(b[0])))
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norms if norms > 0 else 0.0


def _difference(mine: NDArray[Any], golden: NDArray[Any]) -> float:
    return float(np.abs(mine.astype(np.float64) - golden.astype(np.float64)).max(initial=0))


def _clear(got: NDArray[Any], want: NDArray[Any]) -> bool:
    """Whether the best score leads by more than the outputs differ, as a class's number always does."""
    best = np.sort(want.astype(np.float64).ravel())[::-1]
    return best.size < 2 or float(best[0] - best[1]) > _difference(got, want)
