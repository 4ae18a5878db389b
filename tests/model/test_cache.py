"""The cache of derived results: what is valid for one program, and what for all."""

from __future__ import annotations

import torch
from torch import nn

from edgepack.model.cache import DerivedCache
from edgepack.model.capture import captured, reweighted


def test_a_value_of_one_program_is_not_that_of_another() -> None:
    program = captured(nn.Linear(2, 2).eval(), (torch.zeros(1, 2),))
    other = reweighted(program, program.state_dict)
    cache = DerivedCache()
    cache.put("base", "first", program)
    assert cache.get("base", str, program) == "first"
    assert cache.get("base", str, other) is None
    assert cache.get("base", str) is None
    cache.put("base", "second", other)
    assert cache.get("base", str, program) is None
    assert cache.get("base", str, other) == "second"


def test_a_value_has_a_type() -> None:
    cache = DerivedCache()
    cache.put("float", b"bytes")
    assert cache.get("float", bytes) == b"bytes"
    assert cache.get("float", str) is None
    assert cache.get("other", bytes) is None
