"""A target: a device profile, what its runtimes can carry, what a bundle for it may cost."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_serializer, model_validator

from edgepack import resources, toml
from edgepack.errors import TargetError
from edgepack.options import CompressionOptions
from edgepack.scheme import SCHEMES, SchemeName
from edgepack.toml import Strict

Platform = Literal["android", "ios", "linux", "jetson"]
Core = Literal["cortex-a35", "cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "neoverse-n1"]
"""Cores of which QEMU has a model."""


class Cpu(Strict):
    """The device's processor."""

    arch: Literal["aarch64"]
    """Instruction set architecture; the only one so far."""
    cores: Annotated[int, Field(ge=1)]
    """Number of cores, of all kinds together."""
    model: str
    """Core names as Arm or the maker gives them, the fastest last."""
    isa: tuple[str, ...]
    """Features that matter to kernels, as Linux names them in /proc/cpuinfo (asimd, asimddp …)."""


class Accelerator(Strict):
    """A processor beside the CPU, and the runtime that reaches it."""

    name: str
    """Name as the maker gives it."""
    kind: Literal["gpu", "npu", "dsp"]
    """Kind of processor."""
    reached_by: str
    """Runtime, delegate or execution provider that uses it."""


class Emulator(Strict):
    """How the device is emulated on a host of another kind."""

    cpu: Core
    """The device's core, or the nearest that QEMU has a model of."""

    @field_validator("cpu", mode="before")
    @classmethod
    def _not_max(cls, value: object) -> object:
        if value == "max":
            raise ValueError("cannot be QEMU's 'max', which computes wrongly without a word: name a core")
        return value


class Memory(Strict):
    """The device's memory."""

    total_mb: Annotated[int, Field(ge=1)]
    """Main memory, in MB."""


class Os(Strict):
    """The device's operating system."""

    name: str
    """Name of the operating system."""
    floor: str
    """The oldest version that a bundle must run on."""


class FormatChoice(Strict):
    """A format for this device, with its schemes, most wanted first."""

    name: str
    """A format that the device's runtimes read."""
    schemes: Annotated[tuple[SchemeName, ...], Field(min_length=1)]
    """Schemes to try, most preferred first; one of them is fp32 or fp16."""
    options: Annotated[dict[str, Any], Field(default_factory=dict, exclude=True)]
    """All other keys of the table: the format's own options, which `formats.load_target` validates."""

    @model_validator(mode="before")
    @classmethod
    def _collect_options(cls, table: object) -> object:
        """Move the keys that are the format's own into `options`; a misspelled `name` or `schemes` stays."""
        if not isinstance(table, dict):
            return table
        own = ["name", "schemes"]
        lost = [key for key in own if key not in table]
        kept = [key for key in table if key in own or difflib.get_close_matches(key, lost)]
        options = {key: value for key, value in table.items() if key not in kept}
        return {**{key: table[key] for key in kept}, "options": options}

    @model_serializer
    def _one_table(self) -> dict[str, Any]:
        return {"name": self.name, "schemes": self.schemes, **self.options}


class Budget(Strict):
    """What an artifact may cost, and how close to the float model it must stay."""

    size_mb: Annotated[float, Field(gt=0)]
    """Largest model file, 10^6 bytes."""
    memory_mb: Annotated[float, Field(gt=0)]
    """Most memory at inference above the bare runtime, 10^6 bytes."""
    min_agreement: Annotated[float, Field(ge=0, le=100)]
    """Least agreement with the float model in percent, in the metric of the kind of output, unless the kind
    has a limit of its own; for classes, the share of samples with the same top-1 class."""
    min_sqnr_db: float
    """Least signal to quantization noise at the output, in dB."""


class Target(Strict):
    """A device profile, read from `targets/<name>.toml` or from a user's own file."""

    name: str
    """The name of the file, without `.toml`."""
    title: str
    """Name of the device, for people."""
    platform: Platform
    """Decides which app templates fit."""
    cpu: Cpu
    accelerators: tuple[Accelerator, ...] = ()
    memory: Memory
    os: Os
    threads: Annotated[int, Field(ge=1)]
    """Number of threads that the app runs the model with."""
    template: str = ""
    """App template that `build` renders; empty for no app."""
    formats: Annotated[tuple[FormatChoice, ...], Field(min_length=1)]
    budget: Budget
    compress: CompressionOptions = CompressionOptions()
    emulator: Emulator | None = None
    """None where nothing here can run what the device runs."""

    @model_validator(mode="after")
    def _consistent(self) -> Target:
        if self.threads > self.cpu.cores:
            raise ValueError(f"threads = {self.threads} but the CPU has {self.cpu.cores} cores")
        names = [choice.name for choice in self.formats]
        if len(set(names)) != len(names):
            raise ValueError("a format stands twice in [[formats]]")
        for choice in self.formats:
            if not any(SCHEMES[name].is_float for name in choice.schemes):
                raise ValueError(f"format '{choice.name}' needs fp32 or fp16 among its schemes")
        return self

    def choice(self, format_name: str) -> FormatChoice | None:
        """This device's entry for a format, or None where it has none."""
        return next((choice for choice in self.formats if choice.name == format_name), None)


def names() -> list[str]:
    """The targets that edgepack ships."""
    return sorted(path.stem for path in resources.targets().glob("*.toml"))


def _is_path(name: str) -> bool:
    return name.endswith(".toml") or "/" in name


def file_of(name: str) -> Path:
    """The file of the target called `name`, or of the one at the path `name`; it need not exist."""
    return Path(name) if _is_path(name) else resources.targets() / f"{name}.toml"


def load(name: str) -> Target:
    """The target called `name`, or the one in the TOML file at the path `name`.

    The options of its formats are not validated: see `formats.load_target`.
    Raises TargetError where there is no such target, or where the file does not validate.
    """
    path = file_of(name)
    if not path.is_file():
        if _is_path(name):
            raise TargetError(f"there is no target file {path}")
        raise TargetError(
            f"there is no target '{name}': {toml.near(name, names())}",
            hint="`edgepack targets` lists them; --target ./my.toml takes a profile of your own",
        )
    data = toml.read(path, TargetError)
    if "name" in data:
        raise TargetError(f"{path}: 'name' is not a key: a target is called by its file name")
    return toml.validate({"name": path.stem, **data}, Target, str(path), TargetError)
