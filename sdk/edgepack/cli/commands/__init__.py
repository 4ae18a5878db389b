"""The commands of `edgepack`, one module each.

A module `NAME` has a function `run`, which is the command NAME, or a typer `group` of commands. It must not
import anything slow at its top: `edgepack --help` imports every module here.
"""

COMMANDS = (
    "build",
    "plan",
    "check",
    "inspect",
    "sensitivity",
    "app",
    "monitor",
    "targets",
    "formats",
    "templates",
    "doctor",
    "emulator",
)
"""In the order in which help lists them."""
