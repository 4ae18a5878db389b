"""Calibration uses a limited number of samples."""

from __future__ import annotations

from dataclasses import replace

from edgepack.compress import calibration as calibration_module
from edgepack.compress.calibration import Calibration
from edgepack.model.source import Source


def test_calibration_samples_beyond_the_most_are_left(small_source: Source) -> None:
    assert small_source.calib is not None
    many = small_source.calib.take([0] * (calibration_module.MOST + 1), "many")
    assert len(Calibration(replace(small_source, calib=many)).samples) == calibration_module.MOST
    assert Calibration(small_source).samples is small_source.calib
