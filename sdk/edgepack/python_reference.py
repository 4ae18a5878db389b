"""References to Python objects: `path/to/file.py:name` or `package.module:name`."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType, TracebackType
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
    """The module of a Python file, which may import its neighbours, as under `python file.py`.

    A file with relative imports is imported as a part of its package, as under `python -m`.
    """
    if not path.is_file():
        raise SourceError(f"there is no file {path}")
    if levels := _relative_levels(path):
        return _from_package_folder(path.resolve(), levels)
    name = f"edgepack_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and torch.jit.script look up their module
    with _importing(path, path.parent.resolve()):
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return module


def _relative_levels(path: Path) -> int:
    """How many packages a file's relative imports go up; 0 if it has none, or cannot be parsed."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return 0  # the import says what is wrong
    return max((node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0)


def _from_package_folder(path: Path, levels: int) -> ModuleType:
    """Import a file by its name in its package: from the folder above all packages that it lies in."""
    parts, above = [path.stem], path.parent
    while levels > 0 or (above / "__init__.py").is_file():
        parts.append(above.name)
        above, levels = above.parent, levels - 1
    name = ".".join(reversed(parts))
    loaded = sys.modules.get(parts[-1])
    is_foreign = loaded is not None and str(above / parts[-1]) not in getattr(loaded, "__path__", ())
    if is_foreign or not all(part.isidentifier() for part in parts):
        why = f"'{parts[-1]}' is another package" if is_foreign else "a folder's name is no Python name"
        raise SourceError(
            f"{path.name} has relative imports, but cannot be imported as {name}: {why}",
            hint="rename the folder, or put the model into a file without relative imports",
        )
    with _importing(path, above):
        return importlib.import_module(name)


def _from_package(name: str) -> ModuleType:
    with _importing(name, Path.cwd()):
        return importlib.import_module(name)


@contextmanager
def _importing(what: Path | str, folder: Path) -> Iterator[None]:
    """Import the user's `what`, which may import modules of `folder`. Raises SourceError with the cause.

    Afterwards the folder is the last on the path, for imports inside functions, and neighbours that are
    named like a library (`onnx.py`) no longer stand for it.
    """
    text = str(folder)
    before = set(sys.modules)
    sys.path.insert(0, text)
    try:
        with restored(str(what)):
            yield
    except (Exception, SystemExit) as cause:  # whatever the user's code raises
        subject = str(what) if isinstance(what, Path) else f"module {what}"
        raise _not_imported(subject, cause) from cause
    finally:
        sys.path.remove(text)
        _forget_namesakes(folder, set(sys.modules) - before)
        if text not in sys.path:
            sys.path.append(text)


@contextmanager
def restored(script: str) -> Iterator[None]:
    """Run the user's code as a script without arguments, and undo what it changes for the whole process."""
    arguments, folder = sys.argv, Path.cwd()
    sys.argv = [script]
    torch = sys.modules.get("torch")
    kept = (torch.get_default_dtype(), torch.is_grad_enabled()) if torch else None
    try:
        yield
    finally:
        sys.argv = arguments
        os.chdir(folder)
        if torch and kept:
            torch.set_default_dtype(kept[0])
            torch.set_grad_enabled(kept[1])


def _forget_namesakes(folder: Path, imported: set[str]) -> None:
    """Remove modules of `folder` that are named like an installed one from the table of modules."""
    elsewhere = [entry for entry in sys.path if entry and Path(entry).resolve() != folder.resolve()]
    for name in [name for name in imported if "." not in name]:
        file = getattr(sys.modules.get(name), "__file__", None)
        if not file or folder.resolve() not in Path(file).resolve().parents:
            continue
        if name in sys.stdlib_module_names or PathFinder.find_spec(name, elsewhere):
            for each in [each for each in sys.modules if each.partition(".")[0] == name]:
                del sys.modules[each]


_PARSERS = ("argparse", "optparse", "click", "typer", "absl", "fire", "tyro")


def _not_imported(subject: str, cause: BaseException) -> SourceError:
    if isinstance(cause, SystemExit) and _passes(cause.__traceback__, _PARSERS):
        return SourceError(
            f"{subject} parses the command line when it is imported, and ended with {_message(cause)}",
            hint="move the model into a file of its own, or guard the script: if __name__ == '__main__':",
        )
    return SourceError(f"{subject} does not import: {_message(cause)}")


def _passes(traceback: TracebackType | None, modules: tuple[str, ...]) -> bool:
    """Whether an error came through one of these modules."""
    while traceback is not None:
        if str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0] in modules:
            return True
        traceback = traceback.tb_next
    return False


def _message(cause: BaseException) -> str:
    return f"{type(cause).__name__}: {cause}"
