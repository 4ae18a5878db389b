"""What a target chooses about its ExecuTorch programs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgepack.toml import Strict


class Options(Strict):
    """Keys of a target's `[[formats]]` table for executorch."""

    delegate: Literal["xnnpack", "coreml"] = "xnnpack"
    """The backend that the program is lowered to; Core ML is on iOS only."""
    min_delegated: Annotated[float, Field(ge=0, le=100)] | None = None
    """Least share of the multiply-adds, in percent, that delegates must run; no check without it."""
