"""Types of the arrays that models take and return."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Sample = tuple[Array, ...]
"""One array for each input, or for each output, of a model; a batch dimension of 1 included."""
