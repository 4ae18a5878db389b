"""Stored tensors of a graph: contiguous, persistent, and only those that the graph reads."""

from __future__ import annotations

import torch
from torch.fx import GraphModule


def own_constants(module: GraphModule) -> int:
    """Keep the tensors that the graph reads, contiguous, as parameters and persistent buffers.

    Some exporters lose or delete tensors that are not in a program's state. Tensors that nothing reads make
    files larger. Returns how many tensors were changed or removed.
    """
    module.graph.eliminate_dead_code()
    read = {str(node.target) for node in module.graph.find_nodes(op="get_attr")}
    return sum(_own(part, path, read) for path, part in list(module.named_modules()))


def _own(part: torch.nn.Module, path: str, read: set[str]) -> int:
    count = 0
    prefix = f"{path}." if path else ""
    for name, value in list(part._parameters.items()) + list(part._buffers.items()):
        if value is not None and prefix + name not in read:
            delattr(part, name)
            count += 1
    plain = {name: value for name, value in part.__dict__.items() if isinstance(value, torch.Tensor)}
    loose = plain | {
        name: part._buffers[name] for name in part._non_persistent_buffers_set & {*part._buffers}
    }
    for name, value in loose.items():
        delattr(part, name)
        if prefix + name in read and value is not None:
            part.register_buffer(name, _in_order(value.detach()))
        count += 1
    for value in (*part._parameters.values(), *part._buffers.values()):
        if value is not None and not _is_in_order(value):
            value.data = _in_order(value.data)
            count += 1
    return count


def _is_in_order(value: torch.Tensor) -> bool:
    """Whether the strides are those of a new tensor, those of dimensions of one included.

    torch calls a tensor contiguous whatever stride a dimension of one has; ExecuTorch reads the order of
    dimensions from the strides.
    """
    return value.stride() == torch.empty(value.shape, device="meta").stride()


def _in_order(value: torch.Tensor) -> torch.Tensor:
    return value if _is_in_order(value) else value.clone(memory_format=torch.contiguous_format)
