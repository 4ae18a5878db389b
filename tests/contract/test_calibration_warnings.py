"""Warnings about calibration samples: for what contradicts the contract, and for nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import FASHION

from edgepack.arrays import Array
from edgepack.contract import Contract, ImageInput, Output, TensorInput, calibration_warnings
from edgepack.contract.preprocess import prepare
from edgepack.contract.samples import Samples

IMAGE = ImageInput(kind="image", size=(8, 8), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)


def _contract(*inputs: ImageInput | TensorInput) -> Contract:
    return Contract(inputs=inputs, outputs=(Output(),))


def _warned(rows: list[tuple[Array, ...]], *inputs: ImageInput | TensorInput) -> list[str]:
    return calibration_warnings.warnings(Samples(tuple(rows), None, "here"), _contract(*inputs))


def _prepared(pixels: Array, image: ImageInput) -> list[tuple[Array, ...]]:
    return [(prepare(each, image),) for each in pixels]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_images_prepared_as_the_contract_says_are_right(layout: str) -> None:
    image = IMAGE.model_copy(update={"layout": layout})
    assert _warned(_prepared(PIXELS, image), image) == []


def test_the_example_s_own_samples_are_right() -> None:
    image = ImageInput(
        kind="image", size=(28, 28), channels="L", layout="NCHW", resize="stretch",
        mean=(0.2860,), std=(0.3530,),
    )  # fmt: skip
    with np.load(FASHION / "data" / "calib.npz") as given:
        images = given["inputs"]
    assert _warned(_prepared(images[:64], image), image) == []


@pytest.mark.parametrize(("count", "warned"), [(31, True), (32, False)])
def test_few_samples(count: int, warned: bool) -> None:
    found = _warned(_prepared(PIXELS[:count], IMAGE), IMAGE)
    assert found == ([f"only {count} calibration samples: ranges are rough; use 32 or more"] * warned)


def test_samples_that_are_all_alike() -> None:
    same = _prepared(PIXELS[:1], IMAGE) * 40
    assert _warned(same, IMAGE) == ["all calibration samples are equal: their ranges are those of one sample"]


@pytest.mark.parametrize("off", ["raw", "not normalized twice"])
def test_images_prepared_otherwise_than_the_app_will(off: str) -> None:
    rows = _prepared(PIXELS, IMAGE)
    if off == "raw":
        rows = [(each.transpose(2, 0, 1)[None].astype(np.float32),) for each in PIXELS]
    else:
        rows = [((row[0] - 0.5) * 4,) for row in rows]
    (warning,) = _warned(rows, IMAGE)
    assert "calibration samples of 'input' range from" in warning
    assert "are the samples prepared as in the app?" in warning


def test_a_channel_without_content() -> None:
    grey = PIXELS.copy()
    grey[..., 1] = 128
    (warning,) = _warned(_prepared(grey, IMAGE), IMAGE)
    assert warning == "channel 1 of 'input' is constant over all calibration samples"


def test_tensors_that_are_constant_and_those_that_are_not() -> None:
    draw = np.random.default_rng(0)
    wave = TensorInput(kind="tensor", name="wave", shape=(1, 16))
    ids = TensorInput(kind="tensor", name="ids", shape=(1, 4), dtype="int64")
    rows: list[tuple[Array, ...]] = [
        (draw.standard_normal((1, 16)).astype("f4"), np.full((1, 4), n)) for n in range(40)
    ]
    assert _warned(rows, wave, ids) == []
    still: list[tuple[Array, ...]] = [(np.full((1, 16), n, "f4"), row[1]) for n, row in enumerate(rows)]
    assert _warned(still, wave, ids) == ["input 'wave' is constant within every calibration sample"]


def test_an_input_of_one_value_is_compared_across_samples() -> None:
    gain = TensorInput(kind="tensor", name="gain", shape=(1,))
    rows: list[tuple[Array, ...]] = [(np.full(1, 1 + n / 40, "f4"),) for n in range(40)]
    assert _warned(rows, gain) == []
    ids = TensorInput(kind="tensor", name="ids", shape=(1,), dtype="int64")
    still: list[tuple[Array, ...]] = [(np.full(1, 2, "f4"), np.full(1, n)) for n in range(40)]
    assert _warned(still, gain, ids) == ["input 'gain' is the same in every calibration sample"]


@pytest.mark.parametrize(("noise", "warned"), [(0.001, True), (0.1, False)])
def test_samples_that_hardly_differ(noise: float, warned: bool) -> None:
    draw = np.random.default_rng(0)
    scene = draw.standard_normal((1, 3, 8, 8))
    camera = TensorInput(kind="tensor", name="camera", shape=(1, 3, 8, 8))
    rows: list[tuple[Array, ...]] = [
        ((scene + noise * draw.standard_normal(scene.shape)).astype("f4"),) for _ in range(40)
    ]
    assert ["hardly differ from each other" in each for each in _warned(rows, camera)] == [True] * warned
    # an offset is no sign of it: 300 K with a deviation of 1 K
    kelvin = TensorInput(kind="tensor", name="kelvin", shape=(1, 4))
    degrees: list[tuple[Array, ...]] = [
        ((300 + draw.standard_normal((1, 4))).astype("f4"),) for _ in range(40)
    ]
    assert _warned(degrees, kelvin) == []


def test_images_of_one_value_are_counted() -> None:
    pixels = PIXELS.copy()
    pixels[3:5] = 255
    rows = Samples(tuple(_prepared(pixels, IMAGE)), None, "40 images of photos/")
    (said,) = calibration_warnings.blank(rows, _contract(IMAGE))
    assert said == "2 of the 40 images for 'input' (40 images of photos/) have the same value in all pixels"
    assert (
        calibration_warnings.blank(Samples(tuple(_prepared(PIXELS, IMAGE)), None, ""), _contract(IMAGE)) == []
    )


def test_statistics_of_another_range_than_the_declared_one() -> None:
    def doubts(**keys: object) -> list[str]:
        return ImageInput.model_validate({"kind": "image", "size": (8, 8), **keys}).doubts()

    mean = (123.7, 116.3, 103.5)
    (said,) = doubts(mean=mean, std=(58.4, 57.1, 57.4))
    assert "the mean of 'input' (123.7, 116.3, 103.5) lies outside its value range of 0 to 1" in said
    assert doubts(mean=mean, value_range=(0.0, 255.0)) == []
    assert doubts(mean=(0.5, 0.5, 0.5)) == doubts() == doubts(mean=(0.0, 0.0, 0.0)) == []
