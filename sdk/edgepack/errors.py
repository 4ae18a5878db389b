"""Every error that a user can cause, its exit code, and what to do about it.

EdgepackError            1
├── TargetError          2   a device profile that does not exist or does not hold together
├── PlanError            3   choices that cannot be carried out, seen before any work
├── ExportError          4   a format cannot carry the model, or its toolchain is absent or failed
├── SourceError          5   the model, its weights, its contract or its samples
└── BundleError          6   the output folder, or a bundle that is damaged

A failed check is no error: it is a verdict, and the exit code is `CHECK_FAILED`.
"""

from __future__ import annotations

CHECK_FAILED = 10
INTERRUPTED = 130


def first_line(cause: BaseException) -> str:
    """An error of another library in one line: its type, and the first line of its message."""
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0].strip() if lines else ''}"


class EdgepackError(Exception):
    """Base of all errors a user can cause; `hint` says what to do."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class TargetError(EdgepackError):
    """A target that does not exist, or a TOML file of one that does not validate."""

    exit_code = 2


class PlanError(EdgepackError):
    """Choices that cannot be carried out, found before any work was done."""

    exit_code = 3


class ExportError(EdgepackError):
    """A format cannot carry the model, or its toolchain is missing or failed."""

    exit_code = 4


class SourceError(EdgepackError):
    """The model, its weights, its contract or its samples cannot be used."""

    exit_code = 5


class BundleError(EdgepackError):
    """A bundle cannot be written, or one that was given cannot be read."""

    exit_code = 6
