"""Counts: how large a module is and how much it computes."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgepack.report import Counts


def count(module: nn.Module, example: tuple[torch.Tensor, ...]) -> Counts:
    """Count `module`; it is run once on `example`, a sample with its batch dimension of 1."""
    weights = list(module.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*example)
    return Counts(
        parameters=sum(each.numel() for each in weights),
        nonzero=sum(int(torch.count_nonzero(each)) for each in weights),
        multiply_adds=counter.get_total_flops() // 2,  # it counts a multiply-add as two
    )
