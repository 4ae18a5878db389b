"""States: tensors that outlive a run (`iOS18/states.py` and `coreml_dialect/ops.py` in coremltools)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from edgepack.emulator.coreml.operation import Given, Op


def read_state(given: Given) -> torch.Tensor:
    """What a state holds; a copy, which later writes do not change."""
    return given["input"].clone()


def coreml_update_state(given: Given) -> torch.Tensor:
    """Write `value` into a state, and hand it on."""
    given["state"].copy_(given["value"])
    return given["value"]


OPS: Mapping[str, Op] = {"read_state": read_state, "coreml_update_state": coreml_update_state}
