"""What a model returns, as a flat list of tensors with the path to each.

Tuples, lists, dicts (and with them the `ModelOutput` of transformers), named tuples, dataclasses and types
that are registered with torch's pytree are opened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from edgepack.errors import SourceError

_SHOWN = 40


@dataclass(frozen=True)
class Leaf:
    """One value in what a model returns."""

    path: str
    """Where it is, as in `logits` or `aux[1]`; empty if it is all that the model returns."""
    value: Any


@dataclass(frozen=True)
class Flattened:
    """The tensors that a model returns, and what else it returns."""

    tensors: tuple[Leaf, ...]
    others: tuple[Leaf, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is left out, one sentence for each value."""
        return tuple(f"{_where(leaf)} is {_kind(leaf.value)}: it is left out" for leaf in self.others)


def flattened(returned: Any) -> Flattened:
    """The tensors of `returned`, and the other values. Raises SourceError if there is no tensor."""
    leaves = list(_leaves(returned, ""))
    tensors = tuple(leaf for leaf in leaves if isinstance(leaf.value, torch.Tensor))
    others = tuple(leaf for leaf in leaves if not isinstance(leaf.value, torch.Tensor))
    if not tensors:
        found = "; ".join(f"{_where(leaf)} is {_kind(leaf.value)}" for leaf in others) or "it returns nothing"
        raise SourceError(
            f"the model must return tensors (a tensor, or a tuple, list, dict or dataclass of them): {found}"
        )
    return Flattened(tensors, others)


def _leaves(value: Any, path: str) -> Iterator[Leaf]:
    for name, part in _parts(value, path) or ():
        yield from _leaves(part, name)
    if _parts(value, path) is None:
        yield Leaf(path, value)


def _parts(value: Any, path: str) -> list[tuple[str, Any]] | None:
    """The parts of a container, each with its path; None if `value` is no container."""
    prefix = f"{path}." if path else ""
    if isinstance(value, torch.Tensor):
        return None
    if isinstance(value, Mapping):
        return [(f"{prefix}{key}", part) for key, part in value.items()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f"{prefix}{each.name}", getattr(value, each.name)) for each in dataclasses.fields(value)]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return [(f"{prefix}{name}", part) for name, part in zip(value._fields, value)]
    if isinstance(value, (list, tuple)):
        return [(f"{path}[{number}]", part) for number, part in enumerate(value)]
    if type(value) in pytree.SUPPORTED_NODES:
        found, _ = pytree.tree_flatten_with_path(value)
        return [(f"{path}{pytree.keystr(keys)}", part) for keys, part in found]
    return None


def _where(leaf: Leaf) -> str:
    return f"output '{leaf.path}'" if leaf.path else "the output"


def _kind(value: Any) -> str:
    """A value in words: what it is, and if it is short, its text."""
    if value is None:
        return "None"
    name = type(value).__name__
    article = "an" if name[0].lower() in "aeiou" else "a"
    is_short = isinstance(value, (bool, int, float, str)) and len(repr(value)) <= _SHOWN
    return f"{article} {name} ({value!r})" if is_short else f"{article} {name}, not a tensor"
