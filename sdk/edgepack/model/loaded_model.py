"""A model as it was given, before its contract is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgepack.contract import Output
from edgepack.model.binding import Signature


@dataclass(frozen=True)
class LoadedModel:
    """A model in eval mode, with what it says of its own contract."""

    name: str
    module: Callable[..., Any]
    inputs: tuple[dict[str, Any], ...] = ()
    """Tables of the inputs that the model itself declares."""
    outputs: tuple[Output, ...] = ()
    """The first outputs, as far as the model itself declares them."""
    signature: Signature | None = None
    """What the model takes, if its Python signature does not say it."""
    notes: tuple[str, ...] = ()
    layout: str = "NCHW"
    """The layout of images, if the user declares an image and names none."""
