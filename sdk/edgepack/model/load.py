"""The forms in which a model can be given: Python, torchvision, an exported program, TorchScript."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgepack import python_reference
from edgepack.contract import Output
from edgepack.errors import PlanError, SourceError
from edgepack.model import torchvision, weights
from edgepack.model.request import ModelRequest
from edgepack.python_reference import Reference
from edgepack.silence import quiet


@dataclass(frozen=True)
class Loaded:
    """A model as it was given, before its contract is settled."""

    name: str
    module: Callable[..., Any]
    tables: tuple[dict[str, Any], ...] = ()
    output: Output | None = None
    keywords: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


_GENERIC = {"model", "net", "network"}


def _name(reference: Reference) -> str:
    """What a model is called: the attribute, else its file, else its folder, first that tells."""
    path = reference.path.resolve()
    words = (reference.name.split(".")[-1].lower(), path.stem, path.parent.name)
    return next((word for word in words if word not in _GENERIC), "model")


def load(request: ModelRequest) -> Loaded:
    """The model that the request names, with its weights, in eval mode.

    Raises SourceError where it cannot be had, PlanError where weights do not go with its form.
    """
    if request.kind in ("exported", "torchscript") and request.weights:
        raise PlanError(f"{request.model} brings its own weights: --weights does not go with it")
    if request.kind == "exported":
        return _load_exported(Path(request.model))
    if request.kind == "torchscript":
        return _load_torchscript(request)
    if request.kind == "torchvision":
        name = request.model.partition(":")[2]
        module = torchvision.build(name)
        file = Path(request.weights) if request.weights else torchvision.cached(name)
        weights.put(weights.read(file, trust_pickle=request.trust_pickle), module, file)
        table, output, origin = torchvision.contract(name, file)
        return Loaded(name, module.eval(), (table,), output, notes=(f"contract: {origin}",))
    reference = Reference.parse(request.model)
    assert reference is not None, "the plan checks the form of the reference"
    module = _instance(python_reference.attribute(reference), request.model)
    if request.weights:
        file = Path(request.weights)
        weights.put(weights.read(file, trust_pickle=request.trust_pickle), module, file)
        untrained: tuple[str, ...] = ()
    else:
        untrained = ("no --weights: the model's weights are those its code gave it",)
    return Loaded(_name(reference), module.eval(), notes=untrained)


def _instance(found: Any, reference: str) -> torch.nn.Module:
    if not isinstance(found, torch.nn.Module) and callable(found):
        try:
            found = found()
        except (Exception, SystemExit) as cause:  # whatever the user's code raises
            raise SourceError(f"{reference}() raises {type(cause).__name__}: {cause}") from cause
    if not isinstance(found, torch.nn.Module):
        raise SourceError(f"{reference} gives no torch.nn.Module, but {type(found).__name__}")
    return found


def _load_exported(path: Path) -> Loaded:
    try:
        with quiet():
            program = torch.export.load(path)
    except Exception as cause:  # torch.export.load documents no exceptions of its own
        raise SourceError(f"{path} is not an exported program: {first_line(cause)}") from cause
    args, kwargs = program.example_inputs or ((), {})
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    names = program.graph_signature.user_inputs
    given = [*args, *kwargs.values()]
    if len(names) != len(given) or not all(isinstance(each, torch.Tensor) for each in given):
        raise SourceError(f"{path} takes something other than tensors: export it with tensors alone")
    tables = tuple(_tensor_table(str(name), values[str(name)]) for name in names)
    return Loaded(path.stem, program.module(), tables, keywords=tuple(kwargs))


def _tensor_table(name: str, value: torch.Tensor) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else str(size) for size in value.shape]
    return {"kind": "tensor", "name": name, "shape": shape, "dtype": str(value.dtype).split(".")[1]}


def _load_torchscript(request: ModelRequest) -> Loaded:
    path = Path(request.model)
    try:
        with quiet():
            return Loaded(path.stem, torch.jit.load(path, map_location="cpu").eval())
    except RuntimeError:
        found = weights.read_pickle(path, trust_pickle=request.trust_pickle)
    if isinstance(found, torch.nn.Module):
        return Loaded(path.stem, found.eval())
    raise SourceError(
        f"{path} holds weights without a model",
        hint=f"name the model too: edgepack build net.py:model --weights {path}",
    )


def first_line(cause: Exception) -> str:
    """A foreign error in one line: its type, and the first line of what it says."""
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0].strip() if lines else ''}"
