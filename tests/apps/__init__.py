"""Proof of the app templates: each is rendered for real bundles, compiled, and run where this host can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Row:
    """One thing that was tried with a rendered app."""

    what: str
    outcome: Outcome
    detail: str = ""


def of(what: str, problems: list[str], fine: str) -> Row:
    """A thing that is fine where there are no problems with it."""
    return Row(what, "failed" if problems else "ok", "; ".join(problems) or fine)
