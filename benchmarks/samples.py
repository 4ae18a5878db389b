"""Prepare the calibration and evaluation samples of a network, once for all peers.

    python -m benchmarks.samples NET FOLDER

prepares the images of the example in the folder NET by its contract, runs the float network on the evaluation
samples, and writes samples and outputs into FOLDER. This is a program of its own because the process that
measures others must not load torch.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgepack.arrays import Sample
from edgepack.contract import Contract
from edgepack.emulator.job import read_samples, write_samples

_CALIB, _EVAL, _REFERENCE, _FACTS = "calib.npy", "eval.npz", "reference.npz", "facts.json"


@dataclass(frozen=True)
class Case:
    """The files of the program, with the contents that evaluation needs."""

    calib: Path
    """`.npy`, float32 [samples, channels, height, width]."""
    evaluation: Path
    """A file of `edgepack.emulator.job.write_samples`."""
    reference: tuple[Sample, ...]
    """Outputs of the float network for each evaluation sample."""
    labels: tuple[int, ...] | None
    contract: Contract
    calibrated_on: str
    evaluated_on: str


def read(folder: Path) -> Case:
    """Read the files that the program wrote into `folder`."""
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    return Case(
        calib=folder / _CALIB,
        evaluation=folder / _EVAL,
        reference=read_samples(folder / _REFERENCE),
        labels=None if facts["labels"] is None else tuple(facts["labels"]),
        contract=Contract.model_validate_json(facts["contract"]),
        calibrated_on=facts["calibrated_on"],
        evaluated_on=facts["evaluated_on"],
    )


def main(net: Path, folder: Path) -> None:
    """Write the samples of the example in `net`, which must have both sets, into `folder`."""
    from edgepack import plan
    from edgepack.model import inference, source
    from edgepack.options import BuildOptions

    with inference.one_thread():
        found = source.load(plan.resolve(BuildOptions(model=str(net))))
    if found.calib is None:
        raise SystemExit(f"{net} has no calibration samples")
    np.save(folder / _CALIB, np.concatenate([sample[0] for sample in found.calib.inputs]))
    write_samples(found.evaluation.inputs, folder / _EVAL)
    write_samples(found.reference, folder / _REFERENCE)
    facts = {
        "labels": found.evaluation.labels,
        "contract": found.contract.model_dump_json(),
        "calibrated_on": found.calib.origin,
        "evaluated_on": found.evaluation.origin,
    }
    (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
