"""Settings: what `edgepack.toml`, beside a model, says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from edgepack import toml
from edgepack.contract import Input, Output, State
from edgepack.errors import PlanError, SourceError
from edgepack.options import Goal
from edgepack.toml import Strict

FILE = "edgepack.toml"


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class Model(Strict):
    source: str = ""
    weights: str = ""


class Data(Strict):
    calib: str = ""
    eval: str = ""


class Build(Strict):
    targets: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    out: str = ""
    emulator: bool = True
    """Whether files for ARM devices are run on the emulated device."""
    bake_preprocessing: bool = False
    """Whether the graph itself takes 8-bit pictures of the model's size and gives scores."""
    bake_argmax: bool = False
    """Whether it gives the best class's number instead of scores."""


class Settings(Strict):
    """The tables of `edgepack.toml`; a flag of the command line beats each.

    Paths in it are relative to the file. `[input]` and `[output]` may be lists of tables.
    """

    model: Model = Model()
    input: Annotated[tuple[Input, ...], BeforeValidator(_as_list)] = ()
    output: Annotated[tuple[Output, ...], BeforeValidator(_as_list)] = ()
    state: Annotated[tuple[State, ...], BeforeValidator(_as_list)] = ()
    data: Data = Data()
    build: Build = Build()
    compress: Goal = Goal()


def load(path: Path) -> Settings:
    """The settings in the file at `path`. Raises PlanError where it does not validate."""
    data = toml.read(path, PlanError)
    outputs = data.get("output", [])
    for table in outputs if isinstance(outputs, list) else [outputs]:
        if isinstance(table, dict) and isinstance(table.get("labels"), str):
            table["labels"] = read_labels(path.parent / table["labels"])
    return toml.validate(data, Settings, str(path), PlanError)


def read_labels(path: Path) -> tuple[str, ...]:
    """The class names in a text file, one a line, in class order. Raises SourceError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise SourceError(f"labels {path} cannot be read: {cause}") from cause
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise SourceError(f"labels {path} is empty: it takes one class name a line")
    return tuple(line.strip() for line in lines)
