"""Guards of torch.export: a module in the graph that checks the sizes of the inputs."""

from __future__ import annotations

from typing import Any

from torch.fx import Interpreter


class WithoutGuards(Interpreter):
    """Runs a captured graph without its guards, so that a batch may hold several samples."""

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        return None if target == "_guards_fn" else super().call_module(target, args, kwargs)
