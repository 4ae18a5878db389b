"""Pictures resized, cut out and read at coordinates in the evaluator.

Figures are those of coremltools' reference, or of its own tests against Core ML where they are said to be.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from single_op import Constants, computed, drawn, same
from torch.nn import functional

MODES = ("DEFAULT", "STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "OFFSET_CORNERS", "UNALIGN_CORNERS")
_SIZES = st.integers(1, 9)


def _place(mode: str, at: int, before: int, after: int) -> float:
    """The reference's grid point, unclamped: its formulas, with equal terms not shortened."""
    if "ALIGN_CORNERS" in mode and not mode.startswith("UN"):
        if after == 1:
            return (before - 1) / 2 if mode == "ALIGN_CORNERS" else 0.0
        return at * (before - 1) / (after - 1)
    if mode == "DEFAULT":
        return at * (before - before / after) / (after - 1) if after > 1 else 0.0
    spacing = before / after if mode == "UNALIGN_CORNERS" else max(1, before - 1) / after
    return at * spacing + 0.5 * spacing - (0.5 if mode == "UNALIGN_CORNERS" else 0)


def _weights(mode: str, before: int, after: int) -> np.ndarray:
    """How much of each old element is in each new one, [after, before]."""
    held = np.zeros((after, before))
    for at in range(after):
        place = min(before - 1.0, max(0.0, _place(mode, at, before, after)))
        low = math.floor(place)
        held[at, low] += 1 - (place - low)
        held[at, min(low + 1, before - 1)] += place - low
    return held


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.sampled_from(MODES), _SIZES, _SIZES, _SIZES, _SIZES)
def test_resize_bilinear_by_the_reference_s_formulas(
    mode: str, h: int, w: int, height: int, width: int
) -> None:
    x = drawn(2, h, w)
    expected = _weights(mode, h, height) @ x @ _weights(mode, w, width).T
    constants: Constants = {"target_size_height": height, "target_size_width": width, "sampling_mode": mode}
    same(computed("resize_bilinear", {"x": x}, **constants)[0], expected, 1e-4)
    shape = np.array([1, height, width], np.int32)
    late: Constants = {"shape": shape, "resized_dims": np.uint32(2), "sampling_mode": mode}
    same(computed("resize", {"x": x}, 17, **late)[0], expected, 1e-4)


@pytest.mark.parametrize(
    ("mode", "places"),
    [
        ("UNALIGN_CORNERS", [0.0, 0.1, 0.5, 0.9, 1.0]),
        ("STRICT_ALIGN_CORNERS", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("DEFAULT", [0.0, 0.4, 0.8, 1.0, 1.0]),
        ("OFFSET_CORNERS", [0.1, 0.3, 0.5, 0.7, 0.9]),
    ],
)
def test_the_reference_s_examples(mode: str, places: list[float]) -> None:
    x = np.array([[[0, 1]]], np.float32)
    constants: Constants = {"target_size_height": 1, "target_size_width": 5, "sampling_mode": mode}
    same(computed("resize_bilinear", {"x": x}, **constants)[0].ravel(), places)


@pytest.mark.parametrize(("align", "half"), [(True, None), (False, None), (False, False)])
@pytest.mark.parametrize("scale", [(2.0, 3.0), (2.5, 0.75)])
def test_upsample_bilinear(align: bool, half: bool | None, scale: tuple[float, float]) -> None:
    x = drawn(1, 2, 4, 8)
    constants: Constants = {
        "scale_factor_height": scale[0],
        "scale_factor_width": scale[1],
        "align_corners": align,
    }
    sizes = int(4 * scale[0]), int(8 * scale[1])
    if half is None:
        expected = functional.interpolate(
            torch.from_numpy(x), sizes, mode="bilinear", align_corners=align
        ).numpy()
    else:
        constants["half_pixel_centers"] = half
        expected = _weights("DEFAULT", 4, sizes[0]) @ x @ _weights("DEFAULT", 8, sizes[1]).T
    same(computed("upsample_bilinear", {"x": x}, 16, **constants)[0], expected, 1e-4)


@pytest.mark.parametrize("sizes", list(itertools.product([2, 3, 7, 8], [3, 5, 10])), ids=str)
def test_nearest(sizes: tuple[int, int]) -> None:
    """torch's `nearest` takes the element at a new one's begin, `nearest-exact` the one at its middle."""
    x = torch.from_numpy(drawn(1, 2, 4, 5))
    constants: Constants = {"target_size_height": sizes[0], "target_size_width": sizes[1]}
    exact = functional.interpolate(x, sizes, mode="nearest-exact")
    same(computed("resize_nearest_neighbor", {"x": x.numpy()}, **constants)[0], exact)
    late: Constants = {
        "shape": np.array(sizes, np.int32),
        "resized_dims": np.uint32(2),
        "interpolation_mode": "NEAREST_NEIGHBOR",
    }
    same(computed("resize", {"x": x.numpy()}, 17, **late)[0], exact)
    scales: Constants = {
        "scale_factor_height": sizes[0] / 4 + 1e-3,
        "scale_factor_width": sizes[1] / 5 + 1e-3,
    }
    first = functional.interpolate(x, sizes, mode="nearest")
    same(computed("upsample_nearest_neighbor", {"x": x.numpy()}, **scales)[0], first)


def test_crop() -> None:
    x = drawn(2, 3, 6, 7)
    same(computed("crop", {"x": x}, crop_height=[1, 2], crop_width=[0, 3])[0], x[:, :, 1:4, :4])


def _numbered() -> np.ndarray:
    return np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)


BOXES = np.array([[0.1, 0.3, 1.3, 1.0], [0.5, 1.8, 1.0, 0.3], [0.0, 0.4, 0.6, 0.7]], np.float32)
CROPS = [3.1, 5.2, 10.0, 10.0, 10.0, 7.9, 10.0, 13.9, 2.2, 3.1, 9.4, 10.3]
"""Core ML's, in coremltools' tests, where a place outside is 10."""


def test_crop_resize_has_core_ml_s_numbers() -> None:
    common: Constants = {
        "target_height": 2,
        "target_width": 2,
        "normalized_coordinates": True,
        "sampling_mode": "ALIGN_CORNERS",
        "pad_value": np.float32(10),
    }
    which = np.zeros(3, np.int32)
    late = computed("crop_resize", {"x": _numbered()}, 17, boxes=BOXES, box_indices=which, **common)
    same(late[0].ravel(), CROPS, 1e-4)
    roi = np.concatenate([np.zeros((3, 1), np.float32), BOXES], 1).reshape(3, 1, 5, 1, 1)
    early = computed("crop_resize", {"x": _numbered()}, 16, roi=roi, **common)[0]
    assert early.shape == (3, 1, 1, 2, 2)
    same(early.ravel(), CROPS, 1e-4)


@pytest.mark.parametrize("mode", ["CORNERS_HEIGHT_FIRST", "CORNERS_WIDTH_FIRST", "CENTER_SIZE_WIDTH_FIRST"])
def test_crop_resize_of_every_picture_by_each_kind_of_box(mode: str) -> None:
    x = drawn(2, 3, 6, 8)
    roi = {
        "CORNERS_HEIGHT_FIRST": [1.0, 2.0, 4.0, 6.0],
        "CORNERS_WIDTH_FIRST": [2.0, 1.0, 6.0, 4.0],
        "CENTER_SIZE_WIDTH_FIRST": [4.0, 2.5, 4.0, 3.0],
    }[mode]
    constants: Constants = {"target_height": 4, "target_width": 5, "box_coordinate_mode": mode}
    settings_ = constants | {"sampling_mode": "STRICT_ALIGN_CORNERS", "spatial_scale": np.float32(0.5)}
    boxes = 2 * np.array(roi, np.float32).reshape(1, 1, 4, 1, 1)
    same(computed("crop_resize", {"x": x}, roi=boxes, **settings_)[0], x[None, :, :, 1:5, 2:7])


def _resampled(x: np.ndarray, places: np.ndarray, **settings_: Any) -> np.ndarray:
    constants: Constants = {"coordinates_mode": "normalized_minus_one_to_one", "padding_value": np.float32(0)}
    return computed("resample", {"x": x, "coordinates": places}, **constants | settings_)[0]


@pytest.mark.parametrize("sampling", ["bilinear", "nearest"])
@pytest.mark.parametrize(
    ("padding", "torch_s"), [("constant", "zeros"), ("border", "border"), ("reflection",) * 2]
)
@pytest.mark.parametrize("align", [True, False])
def test_resample_is_torch_s_grid_sample(sampling: str, padding: str, torch_s: str, align: bool) -> None:
    x, places = drawn(2, 3, 5, 6), drawn(2, 4, 3, 2, seed=1) * 1.2
    expected = functional.grid_sample(
        torch.from_numpy(x), torch.from_numpy(places), sampling, torch_s, align_corners=align
    )
    if padding == "reflection" and not align:
        padding = "symmetric"  # torch mirrors about the edges then
    same(
        _resampled(x, places, sampling_mode=sampling, padding_mode=padding, align_corners=align),
        expected,
        1e-4,
    )


def test_resample_between_two_pixels_takes_core_ml_s() -> None:
    """Core ML's numbers, in coremltools' tests: 6.5 is led to 7."""
    x = np.array([11, 22, 33, 44], np.float32).reshape(1, 1, 2, 2)
    places = np.array([-1, -2, -3.7, -1, 0, 0, 3.5, 1.2], np.float32).reshape(1, 2, 2, 2)
    kind: Constants = {"sampling_mode": "nearest", "padding_mode": "symmetric", "align_corners": False}
    found = _resampled(x, places, coordinates_mode="normalized_zero_to_one", **kind)
    same(found.ravel(), [22, 33, 11, 33])


def test_resample_reads_pixels_and_shares() -> None:
    x = drawn(1, 2, 4, 4)
    rest: Constants = {"sampling_mode": "bilinear", "padding_mode": "border", "align_corners": True}
    places = np.stack(np.meshgrid(np.arange(4.0), np.arange(4.0)), -1)[None].astype(np.float32)
    same(_resampled(x, places, coordinates_mode="unnormalized", **rest), x)
    same(_resampled(x, places / 3, coordinates_mode="normalized_zero_to_one", **rest), x)


def test_affine_has_core_ml_s_numbers() -> None:
    x = np.array([11, 22, 33, 44], np.float32).reshape(1, 1, 2, 2)
    matrix = np.array([[-1.0, -2.0, -3.7, -1.0, 3.5, 1.2]], np.float32)
    constants: Constants = {
        "sampling_mode": "bilinear",
        "padding_mode": "constant",
        "padding_value": np.float32(0),
        "coordinates_mode": "normalized_minus_one_to_one",
        "align_corners": True,
    }
    sizes: Constants = {"output_height": 3, "output_width": 3}
    ours = computed("affine", {"x": x, "transform_matrix": matrix}, **sizes, **constants)[0]
    same(ours.ravel(), [10.7525, 2.5025, 0, 1.98, 0, 0, 0, 0, 0], 1e-4)
