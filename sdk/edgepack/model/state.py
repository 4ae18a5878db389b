"""State that a model keeps in itself from run to run: buffers, and tensors in attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

State = Mapping[str, torch.Tensor]
"""Copies of tensors, by the path of the module and the name that holds them."""


def snapshot(module: torch.nn.Module) -> State:
    """Copies of the buffers of `module`, and of the tensors in attributes of its modules."""
    return {name: value.detach().clone() for name, value in _held(module).items()}


def changed(module: torch.nn.Module, before: State) -> list[str]:
    """The names of what differs from `before`, or is new."""
    return [name for name, value in _held(module).items() if not _is_same(before.get(name), value)]


def restore(module: torch.nn.Module, before: State) -> None:
    """Give the buffers of `module` the values of `before`."""
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            if name in before and not _is_same(before[name], buffer):
                buffer.copy_(before[name])


def _held(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = dict(module.named_buffers())
    if isinstance(module, torch.jit.ScriptModule):
        return found
    for path, part in module.named_modules():
        if not isinstance(part, torch.jit.ScriptModule):
            found |= {f"{path}.{key}" if path else key: value for key, value in _attributes(part).items()}
    return found


def _attributes(part: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The tensors in a module's attributes that are neither parameters, buffers nor modules."""
    found: dict[str, torch.Tensor] = {}
    for name, value in vars(part).items():
        leaves: list[Any] = [] if name.startswith("_") and name.endswith("s") else pytree.tree_leaves(value)
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        found |= {name if len(tensors) == 1 else f"{name}[{n}]": each for n, each in enumerate(tensors)}
    return found


def _is_same(before: torch.Tensor | None, after: torch.Tensor) -> bool:
    if before is None or before.shape != after.shape or before.dtype != after.dtype:
        return False
    return before.layout == after.layout == torch.strided and torch.equal(before, after)
