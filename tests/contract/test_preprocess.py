"""Pre-processing: images become tensors, exactly as torchvision's own transforms make them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgepack.contract import ImageInput
from edgepack.contract.preprocess import prepare, read_image
from edgepack.model import torchvision


def contract(**keys: object) -> ImageInput:
    return ImageInput.model_validate({"kind": "image", "size": [8, 8], **keys})


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(300, 500), (500, 300), (257, 256), (224, 224), (90, 61)])
@pytest.mark.parametrize("name", ["mobilenet_v2", "swin_t", "efficientnet_b3"])
def test_metadata_of_torchvision_gives_torchvision_s_tensor(name: str, size: tuple[int, int]) -> None:
    table, _, _ = torchvision.contract(name, Path("unknown.pth"))
    from torchvision.models import get_model_weights

    image = Image.fromarray(noise(*size))
    want = next(iter(get_model_weights(name))).transforms()(image)[None].numpy()
    got = prepare(np.asarray(image), ImageInput.model_validate(table))
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_a_crop_is_the_centre() -> None:
    image = noise(20, 31)
    got = prepare(image, contract(resize_to=20, value_range=[0, 255]))
    want = image[6:14, 12:20].transpose(2, 0, 1)[None]  # torchvision rounds 11.5 to the even 12
    np.testing.assert_array_equal(got, want)


def test_stretch_takes_the_whole_image() -> None:
    image = np.zeros((4, 16, 3), np.uint8)
    image[:, 12:] = 255
    got = prepare(image, contract(resize="stretch", interpolation="nearest"))
    assert got[0, :, :, :6].max() == 0
    assert got[0, :, :, 6:].min() == 1


def test_shorter_side_cuts_what_is_too_long() -> None:
    image = np.zeros((8, 24, 3), np.uint8)
    image[:, :8] = 255
    image[:, 16:] = 255
    assert prepare(image, contract()).max() == 0


def test_order_is_range_then_mean_then_std_a_channel() -> None:
    image = np.full((8, 8, 3), 51, np.uint8)
    got = prepare(image, contract(value_range=[-1, 1], mean=[0.1, 0.2, 0.3], std=[1, 2, 4]))
    want = (51 / 255 * 2 - 1 - np.array([0.1, 0.2, 0.3])) / np.array([1, 2, 4])
    np.testing.assert_allclose(got[0, :, 0, 0], want, atol=1e-6)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("channels", ["RGB", "BGR", "L"])
def test_layout_and_channels(layout: str, channels: str) -> None:
    given = contract(layout=layout, channels=channels, size=[8, 12], value_range=[0, 255], resize="stretch")
    image = np.zeros((8, 12, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 10, 20, 30
    got = prepare(image, given)
    assert got.shape == given.shape
    values = got[0, 0, 0] if layout == "NHWC" else got[0, :, 0, 0]
    want = {"RGB": [10, 20, 30], "BGR": [30, 20, 10], "L": [18]}[channels]
    np.testing.assert_array_equal(values, want)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("channels", ["RGB", "BGR", "L"])
def test_the_tensor_is_contiguous_and_can_be_exported(layout: str, channels: str) -> None:
    got = prepare(noise(9, 9), contract(layout=layout, channels=channels))
    assert got.dtype == np.float32
    assert got.flags["C_CONTIGUOUS"]
    assert got.flags["OWNDATA"]
    assert 0 not in got.strides
    torch.from_numpy(got).sum()


def test_a_grey_array_serves_a_colour_model_and_the_other_way_round() -> None:
    grey = np.full((8, 8), 51, np.uint8)
    np.testing.assert_allclose(prepare(grey, contract()), 0.2, atol=1e-6)
    assert prepare(noise(8, 8), contract(channels="L")).shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("mode", "color", "want"),
    [
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("LA", (0, 0), (255, 255, 255)),
    ],
)
def test_images_of_all_modes_are_read(tmp_path: Path, mode: str, color: object, want: object) -> None:
    Image.new(mode, (3, 2), color).save(tmp_path / "a.png")  # type: ignore[arg-type]
    got = read_image(tmp_path / "a.png", "RGB")
    assert got.shape == (2, 3, 3)
    assert tuple(got[0, 0]) == want


def test_a_palette_with_a_transparent_colour_lies_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.save(tmp_path / "a.png", transparency=1)
    assert read_image(tmp_path / "a.png", "RGB").min() == 255


def test_an_image_is_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((16, 8, 3), np.uint8)
    pixels[:8] = 255  # white above black, as the camera held sideways stored it
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    image.save(tmp_path / "a.png", exif=exif)
    got = read_image(tmp_path / "a.png", "L")
    assert got.shape == (8, 16)
    assert got[:, 8:].min() == 255
    assert got[:, :8].max() == 0


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_raises_what_is_documented(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises((OSError, ValueError, SyntaxError)):
        read_image(tmp_path / "a.png", "RGB")


def test_resizing_is_along_the_width_first_whatever_pillow_prefers() -> None:
    image = noise(40, 33)
    given = contract(resize="stretch", size=[13, 24], value_range=[0, 255])
    wide = Image.fromarray(image).resize((24, 40), Image.Resampling.BILINEAR)
    want = np.asarray(wide.resize((24, 13), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    np.testing.assert_array_equal(prepare(image, given)[0], want)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(31, 40), (64, 23), (20, 20), (1, 90)])
def test_without_antialiasing_growing_is_pillow_s_own(interpolation: str, size: tuple[int, int]) -> None:
    image = noise(20, 20)
    keys: dict[str, object] = {"resize": "stretch", "size": size, "interpolation": interpolation}
    with_it, without = (prepare(image, contract(**keys, antialias=each)) for each in (True, False))
    grows = min(size) >= 20
    assert np.array_equal(with_it, without) == grows


def test_without_antialiasing_shrinking_by_two_takes_the_two_middle_ones() -> None:
    image = np.arange(0, 160, 10, dtype=np.uint8).reshape(1, 16)
    keys: dict[str, object] = {"resize": "stretch", "size": [1, 4], "channels": "L", "value_range": [0, 255]}
    got = prepare(image, contract(**keys, antialias=False)).ravel()
    np.testing.assert_array_equal(got, [15, 55, 95, 135])
    assert not np.array_equal(got, prepare(image, contract(**keys)).ravel())


def test_bicubic_without_antialiasing_is_the_keys_kernel() -> None:
    image = np.array([[0, 0, 255, 255]], np.uint8)
    keys: dict[str, object] = {"resize": "stretch", "size": [1, 2], "channels": "L", "value_range": [0, 255]}
    got = prepare(image, contract(**keys, interpolation="bicubic", antialias=False)).ravel()
    # at 0.5 and 2.5 of the four: weights -1/16, 9/16, 9/16, -1/16, as far as they lie within
    inner = np.array([9, 9, -1]) / 17
    want = [float(inner @ [0, 0, 255]), float(inner @ [255, 255, 0])]
    np.testing.assert_array_equal(got, np.clip(np.round(want), 0, 255))


def test_a_letterbox_holds_the_whole_image_in_the_middle() -> None:
    image = np.full((10, 40, 3), 200, np.uint8)
    given = contract(resize="letterbox", size=[9, 8], pad_value=114, value_range=[0, 255])
    got = prepare(image, given)[0, 0]
    assert (got[:3] == 114).all()
    assert (got[3:5] == 200).all()
    assert (got[5:] == 114).all()


def test_a_model_of_8_bits_gets_the_pixels(tmp_path: Path) -> None:
    image = noise(8, 8)
    got = prepare(image, contract(dtype="uint8", layout="NHWC"))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got[0], image)


def test_values_are_rounded_once_from_double_precision() -> None:
    given = contract(value_range=[-1, 1], mean=[0.1, 0.2, 0.3], std=[0.7, 0.8, 0.9])
    image = np.repeat(np.arange(256, dtype=np.uint8)[:64].reshape(8, 8, 1), 3, axis=2)
    level = image.astype(np.float64).transpose(2, 0, 1)
    mean, std = (np.array(each)[:, None, None] for each in (given.mean, given.std))
    want = ((2.0 * level / 255 - 1) - mean) / std
    np.testing.assert_array_equal(prepare(image, given)[0], want.astype(np.float32))


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_an_image_of_16_bits_is_scaled_to_8(tmp_path: Path, suffix: str, dtype: str) -> None:
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray((levels * 257).astype(dtype)).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}", "L"), levels)
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}", "RGB")[..., 2], levels)
    between = np.array([[128, 129, 257 * 9 + 128, 257 * 9 + 129, 65535 - 129]], dtype)
    Image.fromarray(between).save(tmp_path / f"b.{suffix}")
    assert read_image(tmp_path / f"b.{suffix}", "L").tolist() == [[0, 1, 9, 10, 254]]


@pytest.mark.parametrize(("dtype", "words"), [(np.float32, "32-bit floats"), (np.int32, "32-bit integers")])
def test_an_image_whose_white_is_not_known_is_refused(tmp_path: Path, dtype: type, words: str) -> None:
    Image.fromarray(np.ones((4, 4), dtype)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=words):
        read_image(tmp_path / "a.tif", "L")
