"""The screen: what a command shows on a terminal, one module for each thing that is shown."""

from edgepack.cli.screen.session import Screen

__all__ = ["Screen"]
