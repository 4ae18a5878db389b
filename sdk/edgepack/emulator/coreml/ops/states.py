"""States: tensors kept between runs (`iOS18/states.py` and `coreml_dialect/ops.py` in coremltools)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from edgepack.emulator.coreml.operation import Inputs, Op


def read_state(inputs: Inputs) -> torch.Tensor:
    """A copy of a state, which later writes do not change."""
    return inputs["input"].clone()


def coreml_update_state(inputs: Inputs) -> torch.Tensor:
    """Write `value` into a state, and return it."""
    inputs["state"].copy_(inputs["value"])
    return inputs["value"]


OPS: Mapping[str, Op] = {"read_state": read_state, "coreml_update_state": coreml_update_state}
