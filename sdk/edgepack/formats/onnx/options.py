"""What a target chooses about its ONNX files."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgepack.toml import Strict

Provider = Literal["cpu", "tensorrt"]


class Options(Strict):
    """Keys of a target's `[[formats]]` table for onnx."""

    provider: Provider = "cpu"
    """The execution provider that the quantized form is written for."""
    opset: Annotated[int, Field(ge=13, le=21)] = 18
    """The operator set that the device's runtime reads; per-channel QDQ needs 13."""
