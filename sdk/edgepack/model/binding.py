"""Which argument of a model each declared input becomes: by name where the names are its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from edgepack.errors import SourceError

_Value = TypeVar("_Value")
_WRAPPED = ("_orig_mod", "module")
"""Attributes with the model inside torch.compile's, DataParallel's and AveragedModel's modules."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a model's forward."""

    name: str
    required: bool = True
    by_position: bool = True
    by_name: bool = True


@dataclass(frozen=True)
class Signature:
    """What a model's forward takes."""

    parameters: tuple[Parameter, ...]
    any_positional: bool = False
    """Whether it takes more positional arguments (`*args`)."""
    any_keyword: bool = False
    """Whether it takes more keyword arguments (`**kwargs`)."""

    def required_beyond(self, names: Sequence[str]) -> list[str]:
        return [each.name for each in self.parameters if each.required and each.name not in names]

    def __str__(self) -> str:
        words = [each.name for each in self.parameters]
        return ", ".join([*words, *["*args"] * self.any_positional, *["**kwargs"] * self.any_keyword])


@dataclass(frozen=True)
class Binding:
    """The inputs, by their number, that a model takes as positional and as keyword arguments."""

    positional: tuple[int, ...]
    keywords: tuple[tuple[str, int], ...] = ()

    def arguments(self, inputs: Sequence[_Value]) -> tuple[tuple[_Value, ...], dict[str, _Value]]:
        """The model's arguments for `inputs`, which are in the contract's order."""
        return (
            tuple(inputs[number] for number in self.positional),
            {name: inputs[number] for name, number in self.keywords},
        )

    @property
    def by_position(self) -> Binding:
        """This binding to a model that takes the keyword arguments as its last positional ones."""
        return Binding((*self.positional, *(number for _, number in self.keywords)))


def signature_of(model: Callable[..., Any]) -> Signature:
    """What `model` takes: by its schema if it is TorchScript, else by its Python signature."""
    if isinstance(model, torch.jit.ScriptModule):
        arguments = model.forward.schema.arguments[1:]  # type: ignore[attr-defined]  # a ScriptMethod
        return Signature(
            tuple(
                Parameter(each.name, not each.has_default_value(), not each.kwarg_only) for each in arguments
            )
        )
    try:
        found = _of_python(inspect.signature(getattr(model, "forward", model)))
    except (TypeError, ValueError):  # a callable written in C
        return Signature((), any_positional=True)
    if not found.parameters and isinstance(model, torch.nn.Module):
        inner = next((getattr(model, name) for name in _WRAPPED if hasattr(model, name)), None)
        if isinstance(inner, torch.nn.Module):
            return signature_of(inner)
    return found


def _of_python(signature: inspect.Signature) -> Signature:
    kinds = [each.kind for each in signature.parameters.values()]
    return Signature(
        tuple(
            Parameter(
                each.name,
                each.default is each.empty,
                each.kind is not each.KEYWORD_ONLY,
                each.kind is not each.POSITIONAL_ONLY,
            )
            for each in signature.parameters.values()
            if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        ),
        inspect.Parameter.VAR_POSITIONAL in kinds,
        inspect.Parameter.VAR_KEYWORD in kinds,
    )


def bound(signature: Signature, names: Sequence[str]) -> tuple[Binding, list[str]]:
    """How inputs called `names` are bound to the parameters of a model, and notes about it.

    They are bound by name if every name is a parameter, else in their order. Raises SourceError if the
    model needs a parameter that no input is bound to, or takes fewer inputs.
    """
    known = {each.name for each in signature.parameters}
    if all(name in known for name in names):
        return _by_name(signature, names), []
    if signature.any_keyword and known and not signature.required_beyond(names):
        return _by_name(signature, names), []
    return _in_order(signature, names)


def _by_name(signature: Signature, names: Sequence[str]) -> Binding:
    """Parameters before the first one without an input are positional, the others keywords."""
    if lacking := signature.required_beyond(names):
        raise SourceError(
            f"the model needs {_quoted(lacking)}, too: its forward takes ({signature})",
            hint=f"declare it as an input: --input {lacking[0]}=tensor:…, or [[input]] in edgepack.toml",
        )
    positional: list[int] = []
    for each in signature.parameters:
        if each.name not in names or not each.by_position:
            break
        positional.append(names.index(each.name))
    rest = [(name, number) for number, name in enumerate(names) if number not in positional]
    only = [each.name for each in signature.parameters if not each.by_name]
    if skipped := [name for name, _ in rest if name in only]:
        raise SourceError(f"'{skipped[0]}' is a positional parameter: the inputs before it are needed, too")
    return Binding(tuple(positional), tuple(rest))


def _in_order(signature: Signature, names: Sequence[str]) -> tuple[Binding, list[str]]:
    """Inputs in their order: positional parameters first, then those that are taken by keyword only."""
    taking = [each for each in signature.parameters if each.by_position]
    by_keyword = [each for each in signature.parameters if not each.by_position and each.required]
    if signature.any_positional:
        return Binding(tuple(range(len(names)))), []
    slots = [*taking[: max(0, len(names) - len(by_keyword))], *by_keyword]
    lacking = [
        each.name for each in signature.parameters if each.required and each not in slots[: len(names)]
    ]
    if len(slots) < len(names) or lacking:
        problem = f"needs {_quoted(lacking)}, too" if lacking else f"takes fewer than {len(names)} inputs"
        raise SourceError(
            f"the model {problem}: its forward takes ({signature}), the inputs are {_quoted(names)}",
            hint="name each input as the parameter that it is for: --input NAME=tensor:…",
        )
    positional = tuple(number for number, each in enumerate(slots) if each.by_position)
    keywords = tuple((each.name, number) for number, each in enumerate(slots) if not each.by_position)
    notes = []
    if len(names) > 1:
        pairs = ", ".join(f"{name} → {each.name}" for name, each in zip(names, slots))
        notes.append(
            f"inputs are bound in their order, as their names are not all parameters of the model: {pairs}"
        )
    return Binding(positional, keywords), notes


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
