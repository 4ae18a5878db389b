"""Modules without the wrappers of torch.compile, which only make Python faster."""

from __future__ import annotations

import torch


def uncompiled(module: torch.nn.Module) -> torch.nn.Module:
    """The module that was compiled, if `module` is a wrapper; also for all modules in it, in place."""
    if isinstance(module, torch.jit.ScriptModule):
        return module
    while isinstance(original := module._modules.get("_orig_mod"), torch.nn.Module):
        module = original
    module._compiled_call_impl = None
    for name, child in module._modules.items():
        if child is not None:
            module._modules[name] = uncompiled(child)
    return module
