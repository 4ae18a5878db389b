"""Kinds of input, one module each: schema, reading samples, synthetic samples, warnings, monitoring."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgepack.contract.inputs.audio import AudioInput
from edgepack.contract.inputs.image import ImageInput
from edgepack.contract.inputs.kind import InputKind
from edgepack.contract.inputs.tensor import TensorInput
from edgepack.contract.inputs.text import TextInput

Input = Annotated[ImageInput | TensorInput | AudioInput | TextInput, Field(discriminator="kind")]
"""One input of a model; `kind` says which."""

__all__ = ["AudioInput", "ImageInput", "Input", "InputKind", "TensorInput", "TextInput"]
