"""The source's graph as a module that can be traced, for the formats that start from TorchScript."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgepack.silence import quiet


def traced(
    program: ExportedProgram,
    example: tuple[torch.Tensor, ...],
    around: torch.nn.Module | None = None,
) -> torch.jit.ScriptModule:
    """`program`, traced and in eval mode; `around` is a module that calls it as `model`."""
    graph = program.module()
    if around is not None:
        around.add_module("model", graph)
    with quiet(), torch.no_grad():
        script: torch.jit.ScriptModule = torch.jit.trace(around or graph, example, check_trace=False)
        return script.eval()
