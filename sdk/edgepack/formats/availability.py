"""What a format can do on this host, and why not."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Availability:
    """What a format can do on this host; a reason is empty where there is none."""

    export: str = ""
    """Why no file can be written, with the command that helps."""
    run: str = ""
    """Why the format's own runtime cannot run a file, with the command that helps."""
    evaluator: str = ""
    """What `load` runs a file with instead of the format's own runtime, in words; empty where `load` uses
    that runtime, or where nothing can run the file."""

    @property
    def runs(self) -> bool:
        """Whether `load` can run files, in the format's own runtime or in an evaluator."""
        return not self.run or bool(self.evaluator)


def missing(modules: Sequence[str], extra: str) -> str:
    """Which of `modules` are not installed, with the command that installs them; empty if all are.

    No module is imported. `extra` is the extra of edgepack that depends on them.
    """
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"{', '.join(absent)} not installed; pip install 'edgepack[{extra}]'" if absent else ""
