"""Guards of torch.export: a graph captured with one sample can run with several."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.fx import Interpreter

from edgepack.graph.guards import WithoutGuards


def test_a_graph_of_one_sample_takes_a_batch() -> None:
    module = torch.export.export(nn.Linear(4, 2).eval(), (torch.zeros(1, 4),)).module()
    batch = torch.ones(3, 4)
    with pytest.raises(AssertionError, match="Guard failed"):
        Interpreter(module).run(batch)
    out = WithoutGuards(module).run(batch)
    assert out.shape == (3, 2)
