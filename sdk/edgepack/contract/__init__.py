"""The contract: what an app must feed a model, and what it can read from it."""

from __future__ import annotations

from edgepack.contract.input_spec import parse_input
from edgepack.contract.inputs import AudioInput, ImageInput, Input, TensorInput, TextInput
from edgepack.contract.inputs.image import Channels
from edgepack.contract.outputs import Output
from edgepack.contract.schema import Contract, State

__all__ = [
    "AudioInput",
    "Channels",
    "Contract",
    "ImageInput",
    "Input",
    "Output",
    "State",
    "TensorInput",
    "TextInput",
    "parse_input",
]
