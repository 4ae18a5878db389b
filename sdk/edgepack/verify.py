"""Checking a bundle again: its files whole, and each model giving what it gave when it was built."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from edgepack import bundle, formats, metrics
from edgepack.arrays import Sample
from edgepack.emulator.job import Death, Job, write_samples
from edgepack.errors import BundleError
from edgepack.evaluate import android, device, host
from edgepack.evaluate import checks as judge
from edgepack.evaluate.device import Device
from edgepack.pipeline import TIME_LIMIT
from edgepack.progress import Progress, Silent
from edgepack.report import Artifact, Check, Cost, Figures, Report


def check(
    folder: Path, progress: Progress | None = None, *, emulator: bool = True, android_libs: bool = False
) -> Report:
    """Run every artifact of the bundle at `folder` on its golden inputs, and judge it anew.

    With `emulator`, those for ARM devices are run on the emulated device, too; with `android_libs`, also
    by Android's own libraries, where these are set up.

    The figures are those of the few golden samples; the verdict is `fail` where a file has changed,
    no longer runs, or gives something else than when it was built, and where it failed then.
    Raises BundleError where `folder` is no bundle, TargetError where its target has no use for
    `android_libs`.
    """
    report, target, contract = bundle.open_bundle(folder)
    if android_libs:
        android.refuse(target)
    progress = progress or Silent()
    progress.begin(1 + len(report.artifacts))
    progress.step("compare the files with the manifest")
    damage = bundle.damage(folder)
    inputs = bundle.read_golden(folder, "inputs")
    reference = bundle.read_golden(folder, "outputs")
    if not inputs or not reference:
        raise BundleError(f"{folder} is damaged: golden/ holds no inputs or outputs")
    files = [(target, each.format) for each in report.artifacts]
    no_device = device.absent(files, progress.step, wanted=emulator)
    checked = []
    with tempfile.TemporaryDirectory(prefix="edgepack-") as scratch:
        samples = Path(scratch) / "samples.npz"
        write_samples(inputs, samples)
        for number, artifact in enumerate(report.artifacts):
            progress.step(f"run {artifact.file}")
            run = _run(folder, artifact, samples, Path(scratch) / str(number))
            golden = bundle.read_golden(folder, f"{Path(artifact.file).name}.outputs")
            there = metrics.activated(reference, artifact.activation)
            checks = _checks(run, golden, artifact, damage, folder / artifact.file)
            delegation = artifact.delegation and artifact.delegation.uncounted()
            again = replace(artifact, figures=Figures(), checks=checks, delegation=delegation)
            if isinstance(run, host.Run):
                found = judge.figures(run, there, None, contract)
                if formats.load(artifact.format).availability(folder / artifact.file).evaluator:
                    found = replace(found, load_seconds=None, memory_mb=None)  # they are the evaluator's
                again = replace(again, figures=found)
                emulated = Device(
                    target=target,
                    samples=samples,
                    inputs=inputs,
                    classes=contract.classifies,
                    scratch=Path(scratch) / f"device-{number}",
                    time_limit=TIME_LIMIT,
                    say=progress.step,
                    absent=no_device,
                )
                path = folder / artifact.file
                again = emulated.judged(again, path, run.outputs, there, None)
                again = android.judged(again, path, emulated) if android_libs else again
            checked.append(again)
    others = [each for each in damage if not each.startswith((bundle.MODELS, bundle.GOLDEN))]
    notes = (f"checked again on {len(inputs)} golden samples", *others, *report.notes)
    notes += (android.SHOWS,) if android_libs else ()
    return replace(report, artifacts=tuple(checked), folder=str(folder), notes=notes)


def against(found: Report, other: Path, tolerance: float) -> Report:
    """`found` with a check a file: its instructions on the emulated device are not more than those that
    the bundle `other` was built with, by more than `tolerance` percent.

    Files are paired by format, ending and scheme; skipped where one has no count.
    Raises BundleError where `other` is no bundle, or one for another target.
    """
    before, _, _ = bundle.open_bundle(other)
    if before.target != found.target:
        raise BundleError(f"{other} is for {before.target}, this bundle for {found.target}: costs differ")
    costs = {_kind(each): each.figures.cost for each in before.artifacts}
    made = [_grown(each, costs.get(_kind(each)), tolerance) for each in found.artifacts]
    return replace(found, artifacts=tuple(made))


def _kind(artifact: Artifact) -> tuple[str, str, str]:
    return artifact.format, Path(artifact.file).suffix, artifact.scheme


def _grown(artifact: Artifact, before: Cost | None, tolerance: float) -> Artifact:
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


def _run(folder: Path, artifact: Artifact, samples: Path, scratch: Path) -> host.Run | Death | str:
    """The file run again, how its runtime died, or why it was not run."""
    if artifact.format not in formats.names():
        return f"format {artifact.format} is not installed here"
    path = folder / artifact.file
    if not path.exists():
        return Death(f"{artifact.file} is missing")
    availability = formats.load(artifact.format).availability(path)
    if not availability.runs:
        return availability.run
    return host.run(Job(artifact.format, str(path), str(samples)), scratch, TIME_LIMIT)


def _checks(
    run: host.Run | Death | str,
    golden: tuple[Sample, ...],
    artifact: Artifact,
    damage: list[str],
    path: Path,
) -> tuple[Check, ...]:
    own = [each for each in damage if each.startswith(artifact.file)]
    changed = own or [each for each in damage if each.startswith(bundle.GOLDEN)]
    intact = Check("intact", "fail" if changed else "pass", None, None, "", "; ".join(changed))
    before = [each for each in artifact.checks if each.verdict == "fail"]
    failed_then = tuple(replace(each, reason=each.reason or "failed when it was built") for each in before)
    if isinstance(run, str):
        return (intact, *judge.cannot_run(run), *failed_then)
    if isinstance(run, Death):
        return (intact, *judge.died(run), *failed_then)
    again: tuple[Check, ...] = (Check("runs", "pass", None, None, ""),)
    again += (judge.repeats(run, golden, artifact.scheme),)
    availability = formats.load(artifact.format).availability(path)
    if availability.evaluator:
        again = judge.evaluated(again, f"{availability.run}; {availability.evaluator}")
    return (intact, *again, *failed_then)
