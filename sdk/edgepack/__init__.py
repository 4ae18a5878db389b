"""edgepack: from a PyTorch model and a device to checked model files and app code.

    reports = edgepack.build("net.py:model", targets=["raspberry-pi-5"], calib="photos/")
    report = edgepack.check("dist/raspberry-pi-5")
    description = edgepack.inspect("dist/raspberry-pi-5/model/net-w8a8.onnx")

Every command has a function, and every type that the functions take or return is an attribute of this
package. Types are imported when they are first used, so that `import edgepack` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgepack.api import (
    build,
    check,
    examine_host,
    find_emulator,
    inspect,
    list_formats,
    list_targets,
    list_templates,
    load_target,
    make_plan,
    measure_drift,
    measure_sensitivity,
    read_monitoring,
    remove_emulator,
    render_app,
    setup_emulator,
)
from edgepack.errors import (
    BundleError,
    EdgepackError,
    ExportError,
    PlanError,
    SourceError,
    TargetError,
)

if TYPE_CHECKING:
    from edgepack.app.monitoring import Drift, Monitored, Thermal, Times
    from edgepack.app.render import Change, Rendered
    from edgepack.app.template import Template
    from edgepack.compress.sensitivity import LayerSensitivity
    from edgepack.delegation import Delegate, Delegation, Outside
    from edgepack.doctor import Ability, Host, Package
    from edgepack.emulator.arm.entry import Entry
    from edgepack.formats import Description
    from edgepack.options import BuildKeywords, BuildOptions, CompressionOptions, ModelKeywords, Pruning
    from edgepack.plan import Plan, TargetPlan
    from edgepack.progress import Progress, ProgressState
    from edgepack.recipe import Recipe, RecipeFile, Step
    from edgepack.report import (
        Artifact,
        Check,
        Cost,
        Figures,
        Measure,
        Omission,
        OutputFigures,
        Refusal,
        Report,
        Tried,
    )
    from edgepack.scheme import Scheme
    from edgepack.target import Target

__all__ = [
    "Ability",
    "Artifact",
    "BuildKeywords",
    "BuildOptions",
    "BundleError",
    "Change",
    "Check",
    "CompressionOptions",
    "Cost",
    "Delegate",
    "Delegation",
    "Description",
    "Drift",
    "EdgepackError",
    "Entry",
    "ExportError",
    "Figures",
    "Host",
    "LayerSensitivity",
    "Measure",
    "ModelKeywords",
    "Monitored",
    "Omission",
    "OutputFigures",
    "Outside",
    "Package",
    "Plan",
    "PlanError",
    "Progress",
    "ProgressState",
    "Pruning",
    "Recipe",
    "RecipeFile",
    "Refusal",
    "Rendered",
    "Report",
    "Scheme",
    "SourceError",
    "Step",
    "Target",
    "TargetError",
    "TargetPlan",
    "Template",
    "Thermal",
    "Times",
    "Tried",
    "build",
    "check",
    "examine_host",
    "find_emulator",
    "inspect",
    "list_formats",
    "list_targets",
    "list_templates",
    "load_target",
    "make_plan",
    "measure_drift",
    "measure_sensitivity",
    "read_monitoring",
    "remove_emulator",
    "render_app",
    "setup_emulator",
]

_MODULES = {
    "app.monitoring": ("Drift", "Monitored", "Thermal", "Times"),
    "app.render": ("Change", "Rendered"),
    "app.template": ("Template",),
    "compress.sensitivity": ("LayerSensitivity",),
    "delegation": ("Delegate", "Delegation", "Outside"),
    "doctor": ("Ability", "Host", "Package"),
    "emulator.arm.entry": ("Entry",),
    "formats": ("Description",),
    "options": ("BuildKeywords", "BuildOptions", "CompressionOptions", "ModelKeywords", "Pruning"),
    "plan": ("Plan", "TargetPlan"),
    "progress": ("Progress", "ProgressState"),
    "recipe": ("Recipe", "RecipeFile", "Step"),
    "report": (
        "Artifact",
        "Check",
        "Cost",
        "Figures",
        "Measure",
        "Omission",
        "OutputFigures",
        "Refusal",
        "Report",
        "Tried",
    ),
    "scheme": ("Scheme",),
    "target": ("Target",),
}
"""Where the types are that are imported on first use."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"edgepack.{module}"), name)
    raise AttributeError(f"module 'edgepack' has no attribute '{name}'")


def __dir__() -> list[str]:
    return list(__all__)
