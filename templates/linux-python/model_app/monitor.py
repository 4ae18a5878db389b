"""Monitoring: what the app has seen, in fixed space. No picture is kept, and nothing is sent anywhere."""

from __future__ import annotations

import bisect
import json
import math
import os
from collections import deque
from pathlib import Path
from typing import Any

from .contract import DEVICE, INPUT_MEAN_EDGES, MODEL, NAME, TOP_SCORE_EDGES

_KEPT = 1024


class Monitor:
    """Counts and latencies; `record` takes the same few steps each time and writes nothing."""

    def __init__(self) -> None:
        self.count = 0
        self.failures = 0
        self.load_ms = 0.0
        self._last: deque[float] = deque(maxlen=_KEPT)
        self._prepared: deque[float] = deque(maxlen=_KEPT)
        self._top_scores = [0] * (len(TOP_SCORE_EDGES) + 1)
        self._input_means = [0] * (len(INPUT_MEAN_EDGES) + 1)

    def record(self, milliseconds: float, prepared: float, top_score: float, input_mean: float) -> None:
        """One inference; `prepared` is the milliseconds of pre-processing, `input_mean` that of the 8-bit
        picture as the model saw it, or of the first input. What is not finite is not counted."""
        self.count += 1
        self._last.append(milliseconds)
        if math.isfinite(prepared):
            self._prepared.append(prepared)
        if math.isfinite(top_score):
            self._top_scores[bisect.bisect_right(TOP_SCORE_EDGES, top_score)] += 1
        if math.isfinite(input_mean):
            self._input_means[bisect.bisect_right(INPUT_MEAN_EDGES, input_mean)] += 1

    def export(self, runtime: str) -> dict[str, Any]:
        """All of it, as plain values; `runtime` says what ran the model."""
        return {
            "schema_number": 1,
            "model": NAME,
            "file": Path(MODEL).name,
            "runtime": runtime,
            "device": DEVICE,
            "count": self.count,
            "failures": self.failures,
            "load_ms": self.load_ms,
            "latency_ms": _percentiles(self._last),
            "preprocess_ms": _percentiles(self._prepared),
            "memory_mb": _memory(),
            "thermal": _thermal(),
            "top_score": self._top_scores if TOP_SCORE_EDGES else None,
            "input_mean": self._input_means if INPUT_MEAN_EDGES else None,
        }

    def write(self, path: Path, runtime: str) -> None:
        """Write it to `path` as JSON, whole or not at all. Raises OSError."""
        draft = path.with_name(f"{path.name}.part")
        draft.write_text(json.dumps(self.export(runtime)) + "\n", encoding="utf-8")
        os.replace(draft, path)


def _percentiles(last: deque[float]) -> dict[str, float] | None:
    """By nearest rank; None where there is nothing."""
    times = sorted(last)
    if not times:
        return None
    ranks = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    found = {name: times[math.ceil(share * len(times)) - 1] for name, share in ranks.items()}
    return {"mean": sum(times) / len(times), **found, "max": times[-1]}


def _memory() -> float | None:
    """Peak resident memory in MB; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    peak = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return None if peak is None else int(peak) * 1024 / 1e6


def _thermal() -> dict[str, Any] | None:
    """The hottest of the kernel's thermal zones."""
    found = []
    for zone in Path("/sys/class/thermal").glob("thermal_zone*/temp"):
        try:
            found.append(int(zone.read_text(encoding="ascii")) / 1000)
        except (OSError, ValueError):  # a zone that is switched off cannot be read
            continue
    return {"state": "unknown", "celsius": max(found)} if found else None
