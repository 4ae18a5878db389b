"""What Core ML programs can carry, by the oldest iOS that reads them."""

from __future__ import annotations

from edgepack.formats.capability import OPERATOR_KINDS, Capabilities, OperatorKind, Row
from edgepack.scheme import SCHEMES, SchemeName
from edgepack.target import Target

MIN_VALUES = 2049
"""Weights of fewer values stay in float, as coremltools advises."""
_SINCE: dict[SchemeName, int] = {
    "fp32": 15, "fp16": 15, "w8": 16, "p8": 16, "p6": 16, "p4": 16, "sparse": 16,
    "w8a8": 17, "w4": 18, "sparse+p6": 18,
}  # fmt: skip
"""The first iOS whose Core ML reads a scheme: ML Programs, constexpr operators, int8 activations
(quantize), 4-bit and blockwise integers, joint compression (coremltools' guide, optimization)."""
_INTEGER_KERNELS: frozenset[OperatorKind] = frozenset(
    {"conv1d", "conv2d", "depthwise conv2d", "conv3d", "linear"}
)
"""Layers that Core ML computes in integers where their activations are quantized, however small."""
_OTHERS = frozenset(OPERATOR_KINDS) - _INTEGER_KERNELS


def of(target: Target | None) -> Capabilities:
    """The schemes that Core ML of the target's oldest iOS reads."""
    return Capabilities("Core ML", tuple(_row(scheme, target) for scheme in _SINCE))


def _row(name: SchemeName, target: Target | None) -> Row:
    scheme = SCHEMES[name]
    return Row(
        name,
        min_values=0 if scheme.is_float else MIN_VALUES,
        min_values_kinds=_OTHERS if scheme.has_static_activations else frozenset(OPERATOR_KINDS),
        refusal=_too_old(name, target) if target else "",
    )


def _too_old(scheme: SchemeName, target: Target) -> str:
    oldest, since = floor(target), _SINCE[scheme]
    if oldest >= since:
        return ""
    return f"Core ML reads {scheme} from iOS {since} on, and {target.name} begins at iOS {oldest}"


def floor(target: Target) -> int:
    """The major version of the oldest iOS that a package for a target must run on."""
    return int(target.os.floor.split(".")[0])
