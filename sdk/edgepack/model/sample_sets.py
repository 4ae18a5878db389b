"""Which samples calibrate a model, and which evaluate it."""

from __future__ import annotations

from dataclasses import dataclass

from edgepack.contract import Contract, calibration_warnings, samples
from edgepack.contract.samples import Samples
from edgepack.model import free_sizes, validation
from edgepack.model.flat_model import FlatModel
from edgepack.model.request import ModelRequest

_SHOWN = 8
"""Reasons for leaving files out that are named."""


@dataclass(frozen=True)
class SampleSets:
    """The samples of a build."""

    calib: Samples | None
    evaluation: Samples
    notes: tuple[str, ...]
    """What the user should know about them."""


def load(request: ModelRequest, contract: Contract, model: FlatModel) -> SampleSets:
    """Load the samples that the request names.

    Without an evaluation set, a third of the calibration set is held out; without any samples, noise is used,
    of a size that `model` takes. Samples are all of one size.
    Raises SourceError if samples cannot be read, or do not fit the contract.
    """
    with_labels = request.recovers or not request.eval
    calib = samples.load(request.calib, contract, with_labels=with_labels) if request.calib else None
    calib, evaluation, notes = _divided(request, contract, calib, model)
    if contract.free_dims:
        calib, evaluation, others = _of_one_size(calib, evaluation)
        notes += others
    if calib:
        validation.check_calibration(calib)
        notes += calibration_warnings.warnings(calib, contract)
    notes += [doubt for declared in contract.inputs for doubt in declared.doubts()]
    for loaded in (calib, evaluation):
        notes += calibration_warnings.blank(loaded, contract) if loaded else []
        notes += _left_out(loaded.left_out if loaded else ())
    return SampleSets(calib, evaluation, tuple(dict.fromkeys(notes)))


def _left_out(files: tuple[str, ...]) -> list[str]:
    """A note for each reason for which files are left out; of the first reasons, if there are many."""
    reasons: dict[str, list[str]] = {}
    for name, _, reason in (each.partition(": ") for each in files):
        reasons.setdefault(reason, []).append(name)
    notes = [
        f"left out: {names[0]}: {reason}"
        if len(names) == 1
        else f"left out: {len(names)} files, such as {names[0]}: {reason}"
        for reason, names in reasons.items()
    ]
    more = sum(len(names) for names in list(reasons.values())[_SHOWN:])
    return [*notes[:_SHOWN], f"left out: {more} more files"] if more else notes


def _divided(
    request: ModelRequest, contract: Contract, calib: Samples | None, model: FlatModel
) -> tuple[Samples | None, Samples, list[str]]:
    """Samples for calibration and for evaluation, and notes about the choice."""
    if request.eval:
        return calib, samples.load(request.eval, contract, with_labels=True), []
    if calib is None:
        note = "no samples are given: evaluated on noise, which proves little; give --eval"
        sizes, _ = free_sizes.probed(model, contract)
        return None, samples.synthetic(contract.sized(sizes)), [note]
    if len(calib) == 1:
        return calib, calib, ["one sample is given: calibrated and evaluated on it, which proves little"]
    kept, held = samples.split(calib)
    return kept, held, [f"one set is given: calibrated on {kept.origin}, evaluated on {held.origin}"]


def _of_one_size(calib: Samples | None, evaluation: Samples) -> tuple[Samples | None, Samples, list[str]]:
    """The samples of the first evaluation sample's size, and a note if there are others.

    Graphs whose sizes are fixed, as calibration and some formats need them, have this size.
    """
    first = [array.shape for array in evaluation.inputs[0]]
    kept, notes = [], []
    for each in (calib, evaluation):
        rows = each.inputs if each else ()
        same = [n for n, row in enumerate(rows) if [array.shape for array in row] == first]
        if each and len(same) < len(each):
            shapes = ", ".join("x".join(map(str, shape)) for shape in first)
            notes.append(f"{len(each) - len(same)} of {each.origin} are left out: their size is not {shapes}")
        kept.append(each.take(same, each.origin) if each and same else None)
    assert kept[1] is not None
    return kept[0], kept[1], list(dict.fromkeys(notes))
