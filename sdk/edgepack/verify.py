"""Checking a bundle again: its files are whole, and each model gives what it gave when it was built."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgepack import bundle, formats
from edgepack.arrays import Sample
from edgepack.contract import Contract
from edgepack.contract.outputs import judge
from edgepack.contract.outputs.judge import Judged
from edgepack.emulator import arm
from edgepack.emulator.job import write_samples
from edgepack.errors import BundleError
from edgepack.evaluate import android, checks, device
from edgepack.evaluate.checks import Recorded
from edgepack.evaluate.device import Device
from edgepack.evaluate.evaluation import TIME_LIMIT, Evaluator, HostRuns
from edgepack.evaluate.model_file import Evaluation, ModelFile, Reference
from edgepack.progress import Progress, Step, Steps
from edgepack.report import Artifact, Check, Cost, Refusal, Report


def check(
    folder: Path, progress: Progress | None = None, *, emulator: bool = True, android_libs: bool = False
) -> Report:
    """Evaluate every artifact of the bundle at `folder` again, on its golden inputs.

    With `emulator`, those for ARM devices run on the emulated device, too; with `android_libs`, also by
    Android's own libraries, where these are set up.

    The metrics are those of the few golden samples; the verdict is `fail` where a file has changed, no
    longer runs, or gives something else than when it was built, and where it failed then.
    Raises BundleError where `folder` is no bundle, TargetError where `android_libs` says nothing about its
    target.
    """
    report, target, contract = bundle.open_bundle(folder)
    if android_libs:
        android.refuse(target)
    steps = Steps(progress)
    on_device = [each for each in report.artifacts if emulator and not arm.unsuited(target, each.format)]
    steps.expect("check", _expected(report.artifacts, on_device, android_libs=android_libs))
    steps.begin(Step("verify"), "compare the files with the manifest")
    damage = bundle.damage(folder)
    inputs = bundle.read_golden(folder, "inputs")
    outputs = bundle.read_golden(folder, "outputs")
    if not inputs or not outputs:
        raise BundleError(f"{folder} is damaged: golden/ holds no inputs or outputs")
    files = [(target, artifact.format) for artifact in report.artifacts]
    no_device = device.absent(files, steps.of(Step("set up")), wanted=emulator)
    if no_device:
        steps.expect("check", _expected(report.artifacts, [], android_libs=False))
    with tempfile.TemporaryDirectory(prefix="edgepack-") as scratch:
        samples = Path(scratch) / "samples.npz"
        write_samples(inputs, samples)
        on = Device(
            target=target,
            samples=samples,
            inputs=inputs,
            scratch=Path(scratch) / "device",
            time_limit=TIME_LIMIT,
            steps=steps,
            absent=no_device,
        )
        reference = Reference(inputs, outputs, contract, _judged(report, contract, outputs))
        evaluator = Evaluator(reference, HostRuns(samples, Path(scratch) / "host", steps), on, android_libs)
        checked = [_checked(folder, artifact, evaluator, damage) for artifact in report.artifacts]
    steps.end()
    others = [line for line in damage if not line.startswith((bundle.MODELS, bundle.GOLDEN))]
    notes = (*others, *report.notes, *(_absent(refusal) for refusal in report.absent))
    notes += (android.SHOWS,) if android_libs else ()
    return replace(
        report,
        artifacts=tuple(checked),
        folder=str(folder),
        notes=notes,
        refusals=(),
        evaluated_on=f"{len(inputs)} golden samples",
    )


def _absent(refusal: Refusal) -> str:
    """What a check says of a format that the build could not write: there is no file to check."""
    return f"{refusal.format} was not written: {refusal.why}"


def _judged(report: Report, contract: Contract, outputs: tuple[Sample, ...]) -> tuple[Judged, ...]:
    """How outputs were judged when the bundle was built, as far as its report says."""
    figures = next((each.figures for each in report.artifacts if each.figures.outputs), None)
    if figures is not None:
        return judge.recorded(contract.outputs, [each.kind for each in figures.outputs])
    return judge.judged(contract.outputs, outputs, None, is_noise=True)


def _expected(
    artifacts: Sequence[Artifact], on_device: Sequence[Artifact], *, android_libs: bool
) -> list[Step]:
    """The steps of a check: each file runs on this host, and those of `on_device` there."""
    runs = [Step("run", each.format, each.scheme) for each in artifacts if each.format in formats.names()]
    devices = [Step("device", each.format, each.scheme) for each in on_device]
    return [Step("verify"), *runs, *devices * (2 if android_libs else 1)]


def _checked(folder: Path, artifact: Artifact, evaluator: Evaluator, damage: list[str]) -> Artifact:
    """The artifact with the metrics and checks of today."""
    evaluation = _evaluated(folder, artifact, evaluator)
    own = [line for line in damage if line.startswith(artifact.file)]
    changed = own or [line for line in damage if line.startswith(bundle.GOLDEN)]
    intact = Check("intact", "fail" if changed else "pass", None, None, "", "; ".join(changed))
    failed_then = tuple(
        replace(check, reason=check.reason or "failed when it was built")
        for check in artifact.checks
        if check.verdict == "fail"
    )
    return replace(
        artifact,
        figures=evaluation.figures,
        checks=(intact, *evaluation.checks, *failed_then),
        delegation=evaluation.delegation,
        notes=(*artifact.notes, *evaluation.notes),
    )


def _evaluated(folder: Path, artifact: Artifact, evaluator: Evaluator) -> Evaluation:
    path = folder / artifact.file
    delegation = artifact.delegation and artifact.delegation.uncounted()
    if artifact.format not in formats.names():
        reason = f"format {artifact.format} is not installed here"
        return Evaluation(checks=checks.cannot_run(reason), delegation=delegation)
    if not path.exists():
        missing = Check("runs", "fail", None, None, "", f"{artifact.file} is missing")
        return Evaluation(checks=(missing,), delegation=delegation)
    outputs = bundle.read_golden(folder, f"{path.name}.outputs")
    file = ModelFile(
        path=path,
        format=artifact.format,
        scheme=artifact.scheme,
        activation=artifact.activation,
        delegation=delegation,
    )
    return evaluator.evaluate(file, Recorded(outputs, evaluator.reference.for_file(file)))


def against(report: Report, other: Path, tolerance: float) -> Report:
    """`report` with a check for each file: it takes no more instructions on the emulated device than the
    bundle at `other` was built with, by more than `tolerance` percent.

    Files are paired by format, suffix and scheme; the check is skipped where one has no count.
    Raises BundleError where `other` is no bundle, or one for another target.
    """
    before, _, _ = bundle.open_bundle(other)
    if before.target != report.target:
        raise BundleError(f"{other} is for {before.target}, this bundle for {report.target}: costs differ")
    costs = {_kind(artifact): artifact.figures.cost for artifact in before.artifacts}
    made = [_with_growth(artifact, costs.get(_kind(artifact)), tolerance) for artifact in report.artifacts]
    return replace(report, artifacts=tuple(made))


def _kind(artifact: Artifact) -> tuple[str, str, str]:
    return artifact.format, Path(artifact.file).suffix, artifact.scheme


def _with_growth(artifact: Artifact, before: Cost | None, tolerance: float) -> Artifact:
    """The artifact with the check of its instructions, in percent of `before`."""
    now = artifact.figures.cost
    if now is None or before is None:
        which = "this bundle" if now is None else "the other bundle"
        reason = f"{which} has no count of instructions of such a file"
        check = Check("instructions", "skipped", None, tolerance, "% more", reason)
    else:
        more = 100 * (now.instructions / before.instructions - 1)
        check = Check("instructions", "pass" if more <= tolerance else "fail", more, tolerance, "% more")
    return replace(artifact, checks=(*artifact.checks, check))
