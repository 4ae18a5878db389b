"""What an app has recorded on a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.cli.screen.page import Page
from edgepack.cli.screen.tables import Column

if TYPE_CHECKING:
    from edgepack.app.monitoring import Drift, Monitored

_COLUMNS = [Column("ms"), *(Column(title, "right") for title in ("mean", "p50", "p90", "p99", "max"))]


def show(page: Page, found: Monitored, drifts: Sequence[Drift], plot: Path | None) -> None:
    """Latency, memory and heat, and how far inputs and scores are from what was expected."""
    page.heading(f"{found.model} ({found.file}) on {found.device or 'a device'}, {found.runtime}")
    page.line(f"  {found.count} inferences, {found.failures} failed; loaded in {found.load_ms:.1f} ms")
    rows = []
    for name, times in (("inference", found.latency_ms), ("pre-processing", found.preprocess_ms)):
        if times:
            figures = (times.mean, times.p50, times.p90, times.p99, times.max)
            rows.append([name, *(f"{each:.2f}" for each in figures)])
    if rows:
        page.table(_COLUMNS, rows)
    if found.memory_mb is not None:
        page.item("memory", f"{found.memory_mb:.1f} MB at most")
    if found.thermal:
        warm = "" if found.thermal.celsius is None else f", {found.thermal.celsius:.1f} °C"
        page.item("heat", f"{found.thermal.state}{warm}")
    for each in drifts:
        page.item(
            "drift", f"{each.what}: {each.index:.3f}, by chance below {each.chance:.3f}: {each.verdict}"
        )
    if not drifts:
        page.item("drift", "not measured: give --bundle, or nothing was counted")
    if plot:
        page.line(f"  plot: {plot}")
