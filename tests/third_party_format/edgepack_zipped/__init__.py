"""A format for edgepack: an exported program of torch and the contract in one zip file (`.ptz`).

It has an option, `level`, in the `[[formats]]` table of a target, and no toolchain but torch.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from edgepack.errors import BundleError, ExportError
from edgepack.formats import (
    Availability,
    Description,
    Exported,
    Layer,
    Runner,
    Tensor,
    contract_metadata,
    format_options,
)
from edgepack.formats.capability import Capabilities, Row
from edgepack.recipe import Recipe
from edgepack.target import Target

if TYPE_CHECKING:
    from edgepack.arrays import Array, Sample
    from edgepack.model.source import Source

SUFFIX = ".ptz"
CAPABILITIES = Capabilities("zipped", (Row("fp32"),))
ABOUT = "exported program of torch in a zip file"
PACKAGES = ("torch",)
_PROGRAM, _CONTRACT = "program.pt2", "contract.json"


class Options(BaseModel):
    """Keys of a target's `[[formats]]` table for zipped."""

    level: Annotated[int, Field(ge=0, le=9)] = 6
    """The level of compression: 0 stores, 9 takes the least bytes."""


OPTIONS = Options


def availability(path: Path | None = None) -> Availability:
    """torch writes and runs these files on every host."""
    del path
    return Availability()


def capabilities(target: Target | None = None) -> Capabilities:
    """Float files, for every target."""
    del target
    return CAPABILITIES


def variant(target: Target) -> str:
    """The level of compression changes the file."""
    return f"level {format_options.of(target, 'zipped', Options).level}"


def export(source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
    """Write the program and the contract. Raises ExportError."""
    import torch

    if recipe.layers:
        raise ExportError("zipped carries fp32, and the recipe names layers")
    level = format_options.of(target, "zipped", Options).level
    program = io.BytesIO()
    torch.export.save(source.exported, program)
    parts: dict[str, str | bytes] = {
        _PROGRAM: program.getvalue(),
        _CONTRACT: contract_metadata.written(source.contract),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():  # ZipInfo: without the date, the same input gives the same file
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, level)
    return Exported((path,), notes=(f"zipped at level {level}",))


class _Program:
    """An exported program in torch."""

    def __init__(self, path: Path) -> None:
        import torch

        torch.set_num_threads(1)
        self._module = _read(path).module()

    def __call__(self, sample: Sample) -> tuple[Array, ...]:
        import torch

        with torch.no_grad():
            outputs = self._module(*(torch.from_numpy(array) for array in sample))
        return tuple(output.numpy() for output in outputs)


def load(path: Path) -> Runner:
    """The program at `path`, ready to run on one thread."""
    return _Program(path)


def _read(path: Path) -> Any:
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            return torch.export.load(io.BytesIO(archive.read(_PROGRAM)))
    except (OSError, KeyError, zipfile.BadZipFile, RuntimeError) as cause:
        raise BundleError(f"{path} is not a zipped program, or is damaged: {cause}") from cause


def describe(path: Path) -> Description:
    """What the file contains. Raises BundleError where it cannot be read."""
    program = _read(path)
    with zipfile.ZipFile(path) as archive:
        contract = archive.read(_CONTRACT).decode()
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    weights = {name: tensor.numel() * tensor.element_size() for name, tensor in program.state_dict.items()}
    layers = [Layer(name, "parameter", "fp32", size) for name, size in weights.items()]
    return Description(
        format="zipped",
        inputs=tuple(_tensors(program, program.graph_signature.user_inputs)),
        outputs=tuple(_tensors(program, program.graph_signature.user_outputs)),
        operators=dict(Counter(str(node.target) for node in calls).most_common()),
        layers=tuple(sorted(layers, key=lambda layer: -layer.bytes)),
        quantized=None,
        kept_float=tuple(weights),
        metadata=((contract_metadata.KEY, contract),),
    )


def _tensors(program: Any, names: tuple[str, ...]) -> list[Tensor]:
    nodes = {node.name: node.meta["val"] for node in program.graph.nodes if "val" in node.meta}
    return [
        Tensor(name, str(nodes[name].dtype).removeprefix("torch."), tuple(map(int, nodes[name].shape)))
        for name in names
    ]
