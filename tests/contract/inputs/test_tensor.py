"""Tensor inputs: validation of shapes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgepack.contract import TensorInput


@pytest.mark.parametrize("shape", [["2x"], [0], [-1], ["N-1"], [True, 2.5], []])
def test_dimensions_are_whole_numbers_or_names(shape: list[object]) -> None:
    with pytest.raises(ValidationError):
        TensorInput.model_validate({"kind": "tensor", "shape": shape})
