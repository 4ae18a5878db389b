"""TorchScript of an exported program, for exporters that start from it."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgepack.silence import quiet


def traced(
    program: ExportedProgram,
    example: tuple[torch.Tensor, ...],
    around: torch.nn.Module | None = None,
) -> torch.jit.ScriptModule:
    """`program`, traced in eval mode; `around` is a module that wraps it and calls it as `self.model`."""
    graph = program.module()
    if around is not None:
        around.add_module("model", graph)
    with quiet(), torch.no_grad():
        script: torch.jit.ScriptModule = torch.jit.trace(around or graph, example, check_trace=False)
        return script.eval()
