"""An artifact on its device: run there under emulation, compared with the host, and what it costs.

First use sets the emulator up; where that fails the check is skipped, with the reason and the command.
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
from edgepack.report import Artifact, Check
from edgepack.target import Target

SAMPLES = 8
"""How many of the samples are run there; an emulated inference takes seconds."""
NAME = "device runs"


@dataclass(frozen=True)
class Device:
    """A target's emulated device, with what a build or a check gives it to do."""

    target: Target
    samples: Path
    """As `write_samples` wrote them."""
    inputs: tuple[Sample, ...]
    classes: bool
    scratch: Path
    time_limit: float
    """Seconds for one file."""
    say: Callable[[str], None]
    """Told what begins."""
    absent: str
    """Why the emulator is not there, as `absent` tells it; empty where it is."""
    ran: dict[Path, arm.Run | Death] = field(default_factory=dict)
    """What was run so far."""

    def judged(
        self,
        artifact: Artifact,
        path: Path,
        here: tuple[Sample, ...],
        reference: tuple[Sample, ...],
        float_file: Path | None,
    ) -> Artifact:
        """`artifact`, whose file is at `path` and gave `here` on the host, with the device's checks.

        `reference` is what the float model answers. The cost is set against that of `float_file`, where
        one is given. For iOS, whose runtimes are not built for Linux, the evaluator is held against Core ML
        where that ran the file.
        """
        if self.target.platform == "ios":
            return coreml_reference.told(artifact, path, self.inputs, here)
        if reason := arm.unsuited(self.target, artifact.format) or self.absent:
            return _with(artifact, (Check(NAME, "skipped", None, None, "", reason),))
        ran = self._run(artifact.format, path)
        if isinstance(ran, Death):
            return _with(artifact, (Check(NAME, "fail", None, None, "", ran.reason),))
        found = device_checks.agreement(ran, here, reference, artifact.scheme, classes=self.classes)
        checks = device_checks.checks(ran, found, artifact.scheme)
        judged = self._costed(_with(artifact, checks), ran, float_file)
        apart = any(check.verdict == "fail" for check in checks)
        return replace(judged, notes=(*judged.notes, self._parted(path))) if apart else judged

    def _run(self, format_name: str, path: Path) -> arm.Run | Death:
        if path not in self.ran:
            self.say(f"run {path.name} on the emulated {self.target.title}")
            job, scratch = Job(format_name, str(path), str(self.samples)), self.scratch / str(len(self.ran))
            self.ran[path] = arm.run(job, self.target, scratch, self.time_limit, samples=SAMPLES)
        return self.ran[path]

    def _costed(self, artifact: Artifact, ran: arm.Run, float_file: Path | None) -> Artifact:
        """The artifact with its cost, that against the float file's, and that within its delegates."""
        ratio = None
        if ran.cost and float_file:
            base = self._run(artifact.format, float_file)
            if isinstance(base, arm.Run) and base.cost:
                ratio = ran.cost.instructions / base.cost.instructions
        figures = replace(artifact.figures, cost=ran.cost, instructions_ratio=ratio)
        delegation = artifact.delegation
        if delegation and ran.cost:
            delegation = delegation.counted(ran.cost.instructions, ran.delegates)
        return replace(artifact, figures=figures, delegation=delegation)

    def _parted(self, path: Path) -> str:
        """Where device and host part, in words."""
        try:
            found = localize_mismatch.parted(
                path, self.inputs[0], self.target, self.scratch / "part", self.time_limit
            )
        except RuntimeError as cause:
            return f"where device and host part could not be found: {cause}"
        if found is None:
            return "layer by layer, device and host agree on the first sample"
        by = f"{found.relative:.2g} of its largest value"
        return f"device and host part at {found.operator} '{found.layer}', by {by}"


def absent(files: Iterable[tuple[Target, str]], say: Callable[[str], None], *, wanted: bool) -> str:
    """Why there is no emulator for `files`, each a target and a format; empty where there is.

    It is set up if need be, where it is wanted and files of such a format are run on this host at all.
    """
    if not wanted:
        return "turned off (--no-emulator, or emulator = false under [build])"
    run_here = [name for name in formats.names() if formats.runs(name)]
    return arm.first_use([each for each in files if each[1] in run_here], say)


def _with(artifact: Artifact, checks: tuple[Check, ...]) -> Artifact:
    return replace(artifact, checks=(*artifact.checks, *checks))
