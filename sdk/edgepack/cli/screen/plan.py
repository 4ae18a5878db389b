"""What a build would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgepack.cli.screen.page import WARN, Page
from edgepack.cli.screen.tables import Column

if TYPE_CHECKING:
    from edgepack.plan import Plan

_COLUMNS = [Column("format"), Column("scheme"), Column("why", shortest=20, cut="end")]


def show(page: Page, plan: Plan) -> None:
    """The settled choices, then the schemes of each target in the order in which they are tried."""
    rows = [
        ("model", plan.model),
        ("weights", plan.weights or "the model's own"),
        ("settings", plan.settings_file or "none"),
        ("contract from", plan.contract_from),
        ("calibrated on", plan.calib or "nothing"),
        ("judged on", plan.eval_from),
        ("ARM emulator", _emulation(plan)),
        ("pre-processing", "in the graph" if plan.bake else "in the app"),
    ]
    if plan.argmax:
        rows.append(("output", "the best class's number, by arg-max in the graph"))
    for key, value in rows:
        page.fact(key, value)
    for wanted in plan.targets:
        page.line()
        page.heading(wanted.target.title, f"→ {wanted.folder}")
        page.table(_COLUMNS, [[step.format, step.scheme, step.why] for step in wanted.steps])
        for each in wanted.omitted:
            page.item("skipped", f"{each.what}: {each.why}", WARN)
        for note in wanted.notes:
            page.item("note", note)


def _emulation(plan: Plan) -> str:
    """What the emulator is for in a build, in words."""
    devices = [each.target.name for each in plan.targets if each.target.emulator]
    if not plan.emulator or not devices:
        return "turned off" if devices else "for none of the targets"
    return f"runs files for {', '.join(devices)}; set up if it is not (105 MB)"
