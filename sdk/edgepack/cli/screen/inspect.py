"""What a model file contains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.cli.screen import delegation
from edgepack.cli.screen.page import NOTE, Page
from edgepack.cli.screen.tables import Column, shortened

if TYPE_CHECKING:
    from pydantic import BaseModel

    from edgepack.contract import Contract
    from edgepack.formats import Description

_LAYERS = 20
_METADATA = 120
"""Characters of a value of metadata that are shown."""
_COLUMNS = [
    Column("layer", shortest=16),
    Column("operator", shortest=12),
    Column("precision"),
    Column("bytes", "right"),
]


def show(page: Page, path: Path, found: Description) -> None:
    """Inputs, outputs, contract, operators, metadata, and the largest layers."""
    share = "" if found.quantized is None else f", {found.quantized:.0%} of weighted operators quantized"
    delegated = "" if found.delegated is None else f", {found.delegated:.0%} of operators delegated"
    page.heading(path.name, f"{found.format}{share}{delegated}")
    for kind, tensors in (("input", found.inputs), ("output", found.outputs)):
        for each in tensors:
            page.item(kind, f"{each.name}  {each.dtype}  {'x'.join(map(str, each.shape))}")
    if found.contract:
        _contract(page, found.contract)
    counts = sorted(found.operators.items(), key=lambda pair: (-pair[1], pair[0]))
    page.item("operators", ", ".join(f"{name} ×{count}" for name, count in counts))
    for key, value in found.metadata:
        page.item(key, shortened(value, _METADATA, "end"), NOTE)
    _layers(page, found)
    if found.outside:
        kernels = ", ".join(f"{name} ×{count}" for name, count in found.outside.items())
        page.item("not delegated", kernels)
    if found.delegation:
        delegation.show(page, "by the bundle's report", found.delegation)
    if found.kept_float and found.quantized:
        page.item("in float", ", ".join(found.kept_float))


def _layers(page: Page, found: Description) -> None:
    shown, rest = found.layers[:_LAYERS], found.layers[_LAYERS:]
    page.line()
    page.table(_COLUMNS, [[each.name, each.operator, each.precision, f"{each.bytes:,}"] for each in shown])
    if rest:
        page.line(f"  and {len(rest)} more layers of {sum(each.bytes for each in rest):,} bytes (--json)")


def _contract(page: Page, contract: Contract) -> None:
    """What an app must feed a file and may read from it, a line each."""
    lines: list[tuple[str, BaseModel]] = [("feed", each) for each in contract.inputs]
    lines += [("read", each) for each in contract.outputs]
    lines += [("keep", each) for each in contract.state]
    for verb, each in lines:
        facts = each.model_dump(mode="json", exclude_defaults=True)
        labels = facts.pop("labels", ())
        facts.pop("name", "")
        name = f"{facts.pop('kind', '')} {getattr(each, 'name', '')}".strip()
        words = [name, *(f"{key} {_plain(value)}" for key, value in facts.items())]
        words += [f"{len(labels)} labels"] if labels else []
        page.item(verb, ", ".join(filter(None, words)), NOTE)


def _plain(value: object) -> str:
    """A value of a contract, for people."""
    return " × ".join(str(each) for each in value) if isinstance(value, list) else str(value)
