"""Modules: Python objects named as `path/to/file.py:name` or `package.module:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from edgepack import toml
from edgepack.errors import SourceError


def attribute(reference: str) -> Any:
    """The object that `reference` names.

    Raises SourceError where the file is missing, does not import, or has no such name.
    """
    place, _, name = reference.rpartition(":")
    module = _from_file(Path(place)) if place.endswith(".py") else _from_package(place)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [each for each in vars(module) if not each.startswith("_")]
            raise SourceError(f"{place} has no '{name}': {toml.near(name, public)}")
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
    sys.modules[name] = module  # dataclasses and torch.jit.script look their module up
    folder = str(path.parent.resolve())
    sys.path.insert(0, folder)  # so that a file beside it can be imported, as `python file.py` does
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
