"""References to Python objects: `path/to/file.py:name` or `package.module:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from edgepack import toml
from edgepack.errors import SourceError

SUFFIX = ".py"


@dataclass(frozen=True)
class Reference:
    """An object in a Python file or in an importable module."""

    place: str
    """Path of the file, or name of the module."""
    name: str
    """Name of the object in it; may contain dots."""

    @classmethod
    def parse(cls, text: str) -> Reference | None:
        """`place:name`, split at the last colon; None if `text` does not have this form."""
        place, _, name = text.rpartition(":")
        return cls(place, name) if place and name else None

    def __str__(self) -> str:
        return f"{self.place}:{self.name}"

    @property
    def is_file(self) -> bool:
        """Whether `place` is the path of a Python file, which may not exist."""
        return self.place.endswith(SUFFIX)

    @property
    def path(self) -> Path:
        """`place` as a path; of a module, the path that its name corresponds to, without suffix."""
        return Path(self.place if self.is_file else self.place.replace(".", "/"))


def attribute(reference: Reference) -> Any:
    """Import the object that `reference` names.

    Raises SourceError if the file is missing, does not import, or has no such name.
    """
    module = _from_file(reference.path) if reference.is_file else _from_package(reference.place)
    found: Any = module
    for part in reference.name.split("."):
        if not hasattr(found, part):
            public = [name for name in vars(module) if not name.startswith("_")]
            raise SourceError(
                f"{reference.place} has no '{reference.name}': {toml.near(reference.name, public)}"
            )
        found = getattr(found, part)
    return found


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SourceError(f"there is no file {path}")
    name = f"edgepack_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and torch.jit.script look up their module
    folder = str(path.parent.resolve())
    sys.path.insert(0, folder)  # the file can import its neighbours, as under `python file.py`
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as cause:  # whatever the user's code raises
        del sys.modules[name]
        raise SourceError(f"{path} does not import: {_message(cause)}") from cause
    finally:
        sys.path.remove(folder)
    return module


def _from_package(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as cause:  # whatever the user's code raises
        raise SourceError(f"module {name} does not import: {_message(cause)}") from cause
    finally:
        sys.path.remove(str(Path.cwd()))


def _message(cause: BaseException) -> str:
    return f"{type(cause).__name__}: {cause}"
