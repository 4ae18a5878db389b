"""Whether a written file has the scheme of its recipe, or is float because no weight could be quantized."""

from __future__ import annotations

from edgepack.formats.capability import Capabilities
from edgepack.formats.description import Description
from edgepack.recipe import Recipe


def float_reason(description: Description, recipe: Recipe, capabilities: Capabilities) -> str:
    """Why a file is float although its recipe has integer or palette weights; empty where it is not.

    `capabilities` are those of the file's format for its target.
    """
    stored = [scheme for scheme in recipe.schemes if scheme.weights != "float"]
    if not stored or description.quantized:
        return ""
    names = ", ".join(scheme.name for scheme in stored)
    least = max(capabilities.by_name[scheme.name].min_values for scheme in stored)
    why = f": {capabilities.writer} keeps weights of fewer than {least} values in float" if least else ""
    return f"{names} quantizes nothing in this model{why}"
