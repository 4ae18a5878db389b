"""Types of the arrays that models take and return."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
"""Of a dtype that is known at run time only."""
Sample = tuple[Array, ...]
"""One array for each input, or for each output, of a model; including a batch dimension of 1."""
