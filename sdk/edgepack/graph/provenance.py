"""Provenance of nodes: what torch.fx records of the passes that a node went through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.fx.traceback import NodeSource


@contextmanager
def shared() -> Iterator[None]:
    """Let nodes share what is recorded of them, inside the block.

    Each pass adds a `NodeSource` to the chain of a node's earlier ones and copies the chain deeply (torch
    2.13, `torch/fx/traceback.py`). Lowering has dozens of passes, and the copies were a fifth of the time of
    ExecuTorch's export. A link is not changed once it is made, so that one object serves all chains.
    """
    if "__deepcopy__" in vars(NodeSource):
        yield
        return
    NodeSource.__deepcopy__ = lambda self, _: self  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del NodeSource.__deepcopy__  # type: ignore[attr-defined]
