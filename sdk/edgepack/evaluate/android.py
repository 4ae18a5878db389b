"""An artifact by Android's own library: run on the same emulated core, compared with the Linux build there.

Where the libraries are not set up the check is skipped, with the command that sets them up.
"""

from __future__ import annotations

from dataclasses import replace

from edgepack.emulator import arm
from edgepack.emulator.arm import android_libraries, cache, inference
from edgepack.emulator.job import Death, Job
from edgepack.errors import TargetError
from edgepack.evaluate import device_checks
from edgepack.evaluate.device import SAMPLES, Device
from edgepack.evaluate.model_file import ModelFile, Reference
from edgepack.progress import Step
from edgepack.report import Check
from edgepack.target import Target

RUNS, AGREES = "android libs run", "android libs agree"
SHOWS = android_libraries.SHOWS
_SETUP = "Android's libraries are not set up: run `edgepack emulator setup --android-libs`"
_TOO_NEW = (
    "Current official support for domain",
    "Unsupported model IR version",
    "is not a registered function/op",
    "Could not find an implementation for",
    "ORT format model version",
    "Missing operator",
    "Program identifier",
    "Serialization Format version identifier",
    "Failed to create",
)
"""What ONNX Runtime says of an opset, a file's form or an operator that it does not know yet, and what
ExecuTorch says of an operator, a file's form or an operator that its delegate was given."""


def refuse(target: Target) -> None:
    """Raise TargetError where Android's libraries say nothing about a target."""
    if target.platform != "android":
        hint = "leave --android-libs out: it is for targets whose platform is android"
        raise TargetError(f"{target.title} runs {target.platform}, not Android's libraries", hint=hint)


def checks(file: ModelFile, on: Device, reference: Reference) -> tuple[Check, ...]:
    """The checks of Android's own library, which runs `file` on the same emulated core as `on`.

    Its outputs are judged as `reference` says.
    """
    libraries, entry = android_libraries.libraries(), cache.entry()
    reason = android_libraries.unsuited(file.format) or arm.unsuited(on.target, file.format)
    reason = reason or ("" if libraries else _SETUP) or on.absent
    if reason or libraries is None or entry is None:
        return (_skipped(RUNS, reason or _SETUP),)
    by = libraries.build(file.format, entry)
    on.steps.begin(Step("device", file.format, file.scheme), f"run {file.path.name} by {by.name}")
    job = Job(file.format, str(file.path), str(on.samples))
    found = inference.run(job, on.target, on.scratch / "android", on.time_limit, samples=SAMPLES, by=by)
    linux = on.ran.get(file.path)
    if isinstance(found, Death):
        return (_died(found, by.name, linux),)
    return _compared(found, linux, file, reference)


def _skipped(name: str, reason: str) -> Check:
    return Check(name, "skipped", None, None, "", reason)


def _died(found: Death, library: str, linux: arm.Run | Death | None) -> Check:
    """A failure; but what an older library does not know yet, though the app's own runs it, is none."""
    if isinstance(linux, arm.Run) and (word := next((each for each in _TOO_NEW if each in found.reason), "")):
        said = word + found.reason.split(word, 1)[1]
        return _skipped(RUNS, f"the file is too new for {library}; the app's {linux.runtime} runs it: {said}")
    return Check(RUNS, "fail", None, None, "", f"{library}: {found.reason}")


def _compared(
    found: arm.Run, linux: arm.Run | Death | None, file: ModelFile, reference: Reference
) -> tuple[Check, ...]:
    if not isinstance(linux, arm.Run):
        ran = Check(RUNS, "pass", None, None, "", found.runtime)
        return ran, _skipped(AGREES, "the runtime's Linux build gave no outputs to compare with")
    by_linux = replace(reference, outputs=linux.outputs)
    agreement = device_checks.agreement(found, linux.outputs, by_linux, file.scheme)
    runs = device_checks.checks(found, agreement, file.scheme)[0]
    agrees = device_checks.to_host(agreement, file.scheme)
    reason = ", ".join(filter(None, (f"against {linux.runtime} for Linux", agrees.reason)))
    return replace(runs, name=RUNS), replace(agrees, name=AGREES, reason=reason)
