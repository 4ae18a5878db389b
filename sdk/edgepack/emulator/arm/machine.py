"""The machine that is emulated: QEMU's model of a core, and the files by which runtimes know it.

ONNX Runtime and XNNPACK choose their kernels by /proc/cpuinfo and /sys/devices/system/cpu; without
files of its own the emulated program reads those of the x86 host.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edgepack.emulator.arm.entry import Entry
from edgepack.target import Core, Target

LOADER = "ld-linux-aarch64.so.1"
_CORES = "0\n"
"""One core: counts repeat only where one thread runs."""


@dataclass(frozen=True)
class Model:
    """A core that QEMU 7.2 has (`-cpu help`, target/arm/cpu64.c), with its main ID register's parts."""

    name: Core
    part: str
    variant: str
    revision: str
    features: frozenset[str]
    """As Linux names them in /proc/cpuinfo."""


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
    """Features of a target's processor that its emulated core has not: their kernels are not shown."""
    model = MODELS[_core(target)]
    return tuple(each for each in target.cpu.isa if each not in model.features)


def about(target: Target) -> str:
    """What is emulated for a target, in words, with what that does not show."""
    core, absent = _core(target), lacking(target)
    if not absent:
        return f"one {core}"
    return f"one {core}, which stands in for {target.cpu.model} and has no {', '.join(absent)}"


def _core(target: Target) -> Core:
    assert target.emulator is not None
    return target.emulator.cpu


def write(target: Target, entry: Entry, folder: Path) -> None:
    """Lay out the emulated system's root in `folder`: its libraries, one core, and its features."""
    model = MODELS[_core(target)]
    has = " ".join(each for each in target.cpu.isa if each in model.features)
    lines = {
        "processor": "0",
        "BogoMIPS": "108.00",
        "Features": has,
        "CPU implementer": "0x41",
        "CPU architecture": "8",
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
    """The command that runs an ARM program; `counts`: the file for what is counted, none if empty."""
    found = [*_fixed(), str(entry.qemu), "-cpu", core, "-seed", "1", "-L", str(system)]
    found += ["-U", "LD_LIBRARY_PATH"]
    if counts:
        found += ["-plugin", f"{_escaped(str(entry.counter))},out={_escaped(counts)}"]
    return found


def _escaped(value: str) -> str:
    return value.replace(",", ",,")  # as QEMU reads options


def environment(entry: Entry) -> dict[str, str]:
    """All that QEMU and the program see of the user's environment: nothing, so that counts repeat."""
    return {
        "LD_LIBRARY_PATH": str(entry.qemu_libraries),
        "ORT_DISABLE_TELEMETRY": "1",
        "HOME": "/nonexistent",
    }


@functools.cache
def _fixed() -> tuple[str, ...]:
    """What keeps addresses the same in all runs; nothing where the host's sandbox forbids it."""
    fixed = ("setarch", "x86_64", "--addr-no-randomize")
    if not shutil.which(fixed[0]):
        return ()
    ended = subprocess.run([*fixed, "true"], capture_output=True)
    return fixed if ended.returncode == 0 else ()
