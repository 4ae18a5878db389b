"""The table of all architectures."""

from __future__ import annotations

from benchmarks.zoo import audio_models, timm_models, torchvision_models, transformers_models
from benchmarks.zoo.architecture import Architecture

SAMPLE = (
    "audio/bilstm",
    "audio/conformer",
    "audio/ds_cnn",
    "audio/generator",
    "timm/convnext_atto",
    "timm/mobilenetv4_conv_small_035",
    "timm/mobilevit_xxs",
    "torchvision/ssdlite320_mobilenet_v3_large",
    "torchvision/lraspp_mobilenet_v3_large",
    "transformers/bert",
    "transformers/cached_decoder",
    "transformers/wav2vec2",
)
"""One of each kind, for a quick look."""


def architectures() -> list[Architecture]:
    """Every architecture, by library."""
    libraries = (audio_models, timm_models, torchvision_models, transformers_models)
    return [found for library in libraries for found in library.architectures()]


def find(name: str) -> Architecture:
    """The architecture called `name`. Raises KeyError if there is none."""
    return {found.name: found for found in architectures()}[name]
