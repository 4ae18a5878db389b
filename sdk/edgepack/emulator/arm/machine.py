"""The emulated machine: QEMU's model of a core, and the system files that describe it to runtimes.

ONNX Runtime and XNNPACK choose kernels by /proc/cpuinfo and /sys/devices/system/cpu. Without these files the
emulated program would read those of the x86 host.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgepack.emulator.arm.entry import Entry
from edgepack.target import Core, Target

LOADER = "ld-linux-aarch64.so.1"
_ARCHITECTURES: Mapping[str, str] = {"aarch64": "8"}
"""Version of the ARM architecture in /proc/cpuinfo, by the `arch` of a profile."""
_CORES = "0\n"
"""One core: instruction counts repeat only with one thread."""


@dataclass(frozen=True)
class Model:
    """A core of QEMU 7.2 (`-cpu help`, target/arm/cpu64.c), with the fields of its main ID register."""

    name: Core
    part: str
    variant: str
    revision: str
    features: frozenset[str]
    """Names of /proc/cpuinfo."""


_V80 = frozenset(["fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "cpuid"])
_V82 = _V80 | {"atomics", "fphp", "asimdhp", "asimdrdm", "lrcpc", "dcpop", "asimddp", "ssbs"}

MODELS: dict[Core, Model] = {
    "cortex-a35": Model("cortex-a35", "0xd04", "0x1", "0", _V80),
    "cortex-a53": Model("cortex-a53", "0xd03", "0x0", "4", _V80),
    "cortex-a57": Model("cortex-a57", "0xd07", "0x1", "0", _V80),
    "cortex-a72": Model("cortex-a72", "0xd08", "0x0", "3", _V80),
    "cortex-a76": Model("cortex-a76", "0xd0b", "0x4", "1", _V82),
    "neoverse-n1": Model("neoverse-n1", "0xd0c", "0x4", "1", _V82),
}


def lacking(target: Target) -> tuple[str, ...]:
    """Features of a target's processor that its emulated core lacks: kernels that use them are not tested."""
    model = MODELS[_core(target)]
    return tuple(feature for feature in target.cpu.isa if feature not in model.features)


def about(target: Target) -> str:
    """Description of the emulated core, with the features of the target that it lacks."""
    core, absent = _core(target), lacking(target)
    if not absent:
        return f"one {core}"
    return f"one {core} in place of {target.cpu.model}, without {', '.join(absent)}"


def _core(target: Target) -> Core:
    assert target.emulator is not None
    return target.emulator.cpu


def write(target: Target, entry: Entry, folder: Path) -> None:
    """Write the root of the emulated system into `folder`: libraries, and one core with its features."""
    model = MODELS[_core(target)]
    features = " ".join(feature for feature in target.cpu.isa if feature in model.features)
    lines = {
        "processor": "0",
        "BogoMIPS": "108.00",
        "Features": features,
        "CPU implementer": "0x41",
        "CPU architecture": _ARCHITECTURES[target.cpu.arch],
        "CPU variant": model.variant,
        "CPU part": model.part,
        "CPU revision": model.revision,
    }
    (folder / "proc").mkdir(parents=True)
    text = "".join(f"{key}\t: {value}\n" for key, value in lines.items())
    (folder / "proc/cpuinfo").write_text(f"{text}\n", encoding="ascii")
    cores = folder / "sys/devices/system/cpu"
    cores.mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (cores / name).write_text(_CORES, encoding="ascii")
    (folder / "lib").symlink_to(entry.libraries)


def line(entry: Entry, core: Core, system: Path, *, counts: str = "") -> list[str]:
    """The command that runs an ARM program. `counts` is the file for instruction counts; empty for none."""
    command = [*_without_randomization(), str(entry.qemu), "-cpu", core, "-seed", "1", "-L", str(system)]
    command += ["-U", "LD_LIBRARY_PATH"]
    if counts:
        command += ["-plugin", f"{_escaped(str(entry.counter))},out={_escaped(counts)}"]
    return command


def _escaped(value: str) -> str:
    return value.replace(",", ",,")  # QEMU separates options with single commas


def environment(entry: Entry) -> dict[str, str]:
    """The environment of QEMU and the program: nothing of the user's, so that counts repeat."""
    return {
        "LD_LIBRARY_PATH": str(entry.qemu_libraries),
        "ORT_DISABLE_TELEMETRY": "1",
        "HOME": "/nonexistent",
    }


@functools.cache
def _without_randomization() -> tuple[str, ...]:
    """Command that disables address space randomization; empty if the host does not permit it."""
    command = ("setarch", "x86_64", "--addr-no-randomize")
    if not shutil.which(command[0]):
        return ()
    process = subprocess.run([*command, "true"], capture_output=True)
    return command if process.returncode == 0 else ()
