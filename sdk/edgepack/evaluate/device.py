"""A model file on its device: run under emulation, compared with the host's run, and its cost counted.

The first use sets the emulator up. Where that fails, the check is skipped with the reason and the command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgepack import formats
from edgepack.arrays import Sample
from edgepack.emulator import arm
from edgepack.emulator.job import Death, Job
from edgepack.evaluate import coreml_reference, device_checks, localize_mismatch
from edgepack.evaluate.model_file import Evaluation, ModelFile, Reference
from edgepack.progress import Step, Steps
from edgepack.report import Check
from edgepack.target import Target

SAMPLES = 8
"""How many of the samples run there; an emulated inference takes seconds."""
NAME, COST = "device runs", "device cost"


@dataclass(frozen=True)
class Device:
    """A target's emulated device, and what it ran so far."""

    target: Target
    samples: Path
    """As `job.write_samples` wrote them."""
    inputs: tuple[Sample, ...]
    scratch: Path
    time_limit: float
    """Seconds for one file."""
    steps: Steps
    """Where runs are announced."""
    absent: str
    """Why there is no emulator, as `absent` says it; empty where there is one."""
    ran: dict[Path, arm.Run | Death] = field(default_factory=dict)

    def evaluate(
        self, file: ModelFile, on_host: Evaluation, here: tuple[Sample, ...], reference: Reference
    ) -> Evaluation:
        """`on_host` with the device's checks, cost and remarks.

        `here` is what the file gave on the host, `reference` what the float model gives, and how it is
        judged.
        iOS has no runtime for Linux: there, the Core ML evaluator is compared with Core ML where that ran.
        """
        if self.target.platform == "ios":
            notes = coreml_reference.notes(file, self.inputs, here)
            return replace(on_host, notes=(*on_host.notes, *notes))
        if reason := arm.unsuited(self.target, file.format) or self.absent:
            return on_host.with_checks(Check(NAME, "skipped", None, None, "", reason))
        ran = self.run(file.format, file.path, file.scheme)
        if isinstance(ran, Death):
            return on_host.with_checks(Check(NAME, "fail", None, None, "", ran.reason))
        agreement = device_checks.agreement(ran, here, reference, file.scheme)
        checks = device_checks.checks(ran, agreement, file.scheme)
        found = self._with_cost(on_host.with_checks(*checks), file, ran)
        if all(check.verdict != "fail" for check in checks):
            return found
        return replace(found, notes=(*found.notes, self._mismatch(file.path)))

    def run(self, format_name: str, path: Path, scheme: str = "") -> arm.Run | Death:
        """The file's run on the emulated device; each file runs once."""
        if path not in self.ran:
            step = Step("device", format_name, scheme)
            self.steps.begin(step, f"run {path.name} on the emulated {self.target.title}")
            job, scratch = Job(format_name, str(path), str(self.samples)), self.scratch / str(len(self.ran))
            self.ran[path] = arm.run(job, self.target, scratch, self.time_limit, samples=SAMPLES)
        return self.ran[path]

    def _with_cost(self, evaluation: Evaluation, file: ModelFile, ran: arm.Run) -> Evaluation:
        """`evaluation` with the file's cost, its share of the float file's, and that within delegates."""
        if ran.cost is None:
            reason = f"no instructions are counted, so that bytes alone decide: {ran.no_cost}"
            return evaluation.with_checks(Check(COST, "skipped", None, None, "", reason))
        ratio = None
        if file.float_file:
            base = self.run(file.format, file.float_file)
            if isinstance(base, arm.Run) and base.cost:
                ratio = ran.cost.instructions / base.cost.instructions
        delegation = evaluation.delegation
        if delegation:
            delegation = delegation.counted(ran.cost.instructions, ran.delegates)
        figures = replace(evaluation.figures, cost=ran.cost, instructions_ratio=ratio)
        return replace(evaluation, figures=figures, delegation=delegation)

    def _mismatch(self, path: Path) -> str:
        """The layer at which device and host differ, in words."""
        try:
            found = localize_mismatch.find(
                path, self.inputs[0], self.target, self.scratch / "mismatch", self.time_limit
            )
        except RuntimeError as cause:
            return f"the layer at which device and host differ could not be found: {cause}"
        if found is None:
            return "layer by layer, device and host agree on the first sample"
        by = f"{found.relative:.2g} of its largest value"
        return f"device and host differ at {found.operator} '{found.layer}', by {by}"


def absent(files: Iterable[tuple[Target, str]], say: Callable[[str], None], *, wanted: bool) -> str:
    """Why there is no emulator for `files`, pairs of a target and a format; empty where there is one.

    Sets it up if need be, where it is wanted and this host runs files of such a format at all.
    """
    if not wanted:
        return "turned off (--no-emulator, or emulator = false under [build])"
    run_here = [name for name in formats.names() if formats.runs(name)]
    return arm.first_use([each for each in files if each[1] in run_here], say)
