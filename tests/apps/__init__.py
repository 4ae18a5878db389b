"""Proof of the app templates: each is rendered for real bundles, compiled, and run where this host can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Row:
    """One thing that was tried with a rendered app."""

    what: str
    outcome: Literal["ok", "failed", "skipped"]
    detail: str = ""
