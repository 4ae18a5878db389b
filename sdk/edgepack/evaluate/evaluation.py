"""The evaluation of one written model file, for `build` and for `check`.

The file runs on this host in its format's own runtime, or in an evaluator where the host has none; then on
the target's emulated device. Its outputs are compared with the float model's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from edgepack import formats
from edgepack.arrays import Sample
from edgepack.emulator.job import Death, Job
from edgepack.evaluate import android, checks, host
from edgepack.evaluate.checks import Expectation
from edgepack.evaluate.device import Device
from edgepack.evaluate.model_file import Evaluation, ModelFile, Reference
from edgepack.progress import Step, Steps
from edgepack.report import Figures

TIME_LIMIT = 1800.0
"""Seconds that a file may take for all samples before it counts as hung."""


@dataclass(frozen=True)
class HostRuns:
    """Files run on this host, each once; targets that share a file share its run."""

    samples: Path
    """As `job.write_samples` wrote them."""
    scratch: Path
    steps: Steps = field(default_factory=Steps)
    """Where runs are announced."""
    ran: dict[Path, host.Run | Death] = field(default_factory=dict)

    def run(self, file: ModelFile) -> host.Run | Death:
        """The file's run in a child process, timed against its float file where it has one."""
        if file.path not in self.ran:
            timed_against = str(file.float_file or "")
            if formats.load(file.format).availability(file.path).evaluator:
                timed_against = ""
            self.steps.begin(Step("run", file.format, file.scheme), f"run {file.path.name}")
            job = Job(file.format, str(file.path), str(self.samples), timed_against)
            self.ran[file.path] = host.run(job, self.scratch / str(len(self.ran)), TIME_LIMIT)
        return self.ran[file.path]

    def outputs(self, path: Path) -> tuple[Sample, ...] | None:
        """What the file at `path` gave; None where it did not run."""
        run = self.ran.get(path)
        return run.outputs if isinstance(run, host.Run) else None


@dataclass(frozen=True)
class Evaluator:
    """Evaluates files for one target."""

    reference: Reference
    host_runs: HostRuns
    device: Device
    android_libs: bool = False
    """Run files by Android's own libraries, too."""

    def evaluate(self, file: ModelFile, expectation: Expectation) -> Evaluation:
        """Metrics of `file`, and its checks against `expectation`.

        A file that cannot run, crashes or hangs is a result, not an exception.
        """
        availability = formats.load(file.format).availability(file.path)
        if not availability.runs:
            return Evaluation(checks=checks.cannot_run(availability.run), delegation=file.delegation)
        run = self.host_runs.run(file)
        if isinstance(run, Death):
            return Evaluation(checks=checks.died(run), delegation=file.delegation)
        given, wanted = len(run.outputs[0]), len(self.reference.outputs[0])
        if given != wanted:
            reason = f"outputs returned: {given}, but the model has {wanted}"
            return Evaluation(checks=checks.failed_to_run(reason), delegation=file.delegation)
        figures = self._figures(file, run)
        made = expectation.checks(run, figures, file.scheme)
        if availability.evaluator:
            figures = replace(figures, load_seconds=None, memory_mb=None)  # they are the evaluator's
            made = checks.evaluated(made, f"{availability.run}; {availability.evaluator}")
        on_host = Evaluation(figures, made, delegation=file.delegation, outputs=run.outputs)
        return self._on_device(file, on_host, run)

    def _figures(self, file: ModelFile, run: host.Run) -> Figures:
        figures = checks.figures(run, self.reference.for_file(file))
        return figures if file.is_timed else replace(figures, latency_ratio=None, latency_spread=None)

    def _on_device(self, file: ModelFile, on_host: Evaluation, run: host.Run) -> Evaluation:
        reference = self.reference.for_file(file)
        evaluation = self.device.evaluate(file, on_host, run.outputs, reference)
        if not self.android_libs:
            return evaluation
        return evaluation.with_checks(*android.checks(file, self.device, reference))
