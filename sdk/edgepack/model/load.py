"""Load a model in any of its forms: Python, torchvision, timm, transformers, Keras, a saved program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from edgepack import python_reference
from edgepack.errors import PlanError, SourceError, first_line
from edgepack.model import (
    checkpoint,
    keras_model,
    timm_models,
    torchvision,
    torchvision_operators,
    transformers_folder,
    weights,
)
from edgepack.model.binding import Parameter, Signature
from edgepack.model.loaded_model import LoadedModel
from edgepack.model.request import ModelRequest
from edgepack.python_reference import Reference
from edgepack.silence import quiet


def load(request: ModelRequest) -> LoadedModel:
    """The model that the request names, with its weights, in eval mode.

    Raises SourceError if it cannot be loaded, PlanError if it contains its own weights and others are given.
    """
    torchvision_operators.declare()
    keras_model.choose_backend()
    if request.kind in ("exported", "torchscript", "keras") and request.weights:
        raise PlanError(f"{request.model} contains its own weights: --weights does not apply")
    if request.kind == "exported":
        return _load_exported(Path(request.model))
    if request.kind == "torchscript":
        return _load_torchscript(request)
    if request.kind == "keras":
        return keras_model.load(Path(request.model))
    if request.kind == "torchvision":
        return _load_torchvision(request)
    return _load_python(request) if request.kind == "python" else _load_library(request)


def _load_library(request: ModelRequest) -> LoadedModel:
    """A model of timm or transformers, with weights of the request or of this host."""
    place = request.model.partition(":")[2]
    file = Path(request.weights) if request.weights else None
    if request.kind == "timm":
        return timm_models.load(place, file, trust_pickle=request.trust_pickle)
    trusts, has_inputs = request.trust_pickle, bool(request.inputs)
    return transformers_folder.load(Path(place), file, trust_pickle=trusts, has_inputs=has_inputs)


def _load_python(request: ModelRequest) -> LoadedModel:
    reference = Reference.parse(request.model)
    assert reference is not None, "the plan checks the form of the reference"
    module = _instance(python_reference.attribute(reference), reference)
    if request.weights:
        notes = _put_weights(request, module, Path(request.weights))
    else:
        notes = ["no --weights: the model has the weights that its code gave it"]
    if keras_model.is_keras(module):
        return keras_model.loaded(_name(reference), module, tuple(notes))
    return LoadedModel(_name(reference), module.eval(), notes=tuple(notes))


def _load_torchvision(request: ModelRequest) -> LoadedModel:
    name = request.model.partition(":")[2]
    module = torchvision.build(name)
    file = Path(request.weights) if request.weights else torchvision.cached(name)
    notes = _put_weights(request, module, file)
    table, output, origin = torchvision.contract(name, file)
    return LoadedModel(name, module.eval(), (table,), (output,), notes=(*notes, f"contract: {origin}"))


def _put_weights(request: ModelRequest, module: torch.nn.Module, file: Path) -> list[str]:
    """Load the weights of `file` into `module`; notes say what was chosen."""
    return weights.put(checkpoint.read(file, trust_pickle=request.trust_pickle), module)


_GENERIC = {"model", "net", "network"}


def _name(reference: Reference) -> str:
    """The name of a model: its attribute, file or folder, whichever is not generic, in this order."""
    path = reference.path.resolve()
    words = (reference.name.split(".")[-1].lower(), path.stem, path.parent.name)
    return next((word for word in words if word not in _GENERIC), "model")


def _instance(found: Any, reference: Reference) -> torch.nn.Module:
    """`found` if it is a module, else what it returns. Raises SourceError if that is no module either."""
    if not isinstance(found, torch.nn.Module) and callable(found):
        try:
            with python_reference.restored(reference.place):
                found = found()
        except (Exception, SystemExit) as cause:  # whatever the user's code raises
            wants = isinstance(cause, TypeError) and "required" in str(cause)
            raise SourceError(
                f"{reference}() raises {type(cause).__name__}: {cause}",
                hint=f"name a function without arguments: def model(): return {reference.name}(…)"
                if wants
                else "",
            ) from cause
    if not isinstance(found, torch.nn.Module):
        raise SourceError(f"{reference} must be a torch.nn.Module or return one, not {type(found).__name__}")
    return found


def _load_exported(path: Path) -> LoadedModel:
    try:
        with quiet():
            program = torch.export.load(path)
    except Exception as cause:  # torch.export.load documents no exceptions of its own
        raise SourceError(f"{path} is not an exported program: {first_line(cause)}") from cause
    args, kwargs = program.example_inputs or ((), {})
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    names = program.graph_signature.user_inputs
    example = [*args, *kwargs.values()]
    if len(names) != len(example) or not all(isinstance(value, torch.Tensor) for value in example):
        raise SourceError(f"{path} has inputs that are not tensors: export it with tensors only")
    inputs = tuple(_tensor_input(str(name), values[str(name)]) for name in names)
    first_keyword = len(args)
    parameters = [
        Parameter(str(name), by_position=number < first_keyword, by_name=number >= first_keyword)
        for number, name in enumerate([*names[:first_keyword], *kwargs])
    ]
    return LoadedModel(path.stem, program.module(), inputs, signature=Signature(tuple(parameters)))


def _tensor_input(name: str, value: torch.Tensor) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else str(size) for size in value.shape]
    return {"kind": "tensor", "name": name, "shape": shape, "dtype": str(value.dtype).split(".")[1]}


def _load_torchscript(request: ModelRequest) -> LoadedModel:
    path = Path(request.model)
    try:
        with quiet():
            return LoadedModel(path.stem, torch.jit.load(path, map_location="cpu").eval())
    except RuntimeError:
        found = checkpoint.read_pickle(path, trust_pickle=request.trust_pickle)
    if isinstance(found, torch.nn.Module):
        return LoadedModel(path.stem, found.eval())
    raise SourceError(
        f"{path} contains weights without a model",
        hint=f"name the model too: edgepack build net.py:model --weights {path}",
    )
