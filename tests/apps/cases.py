"""Pictures and contracts on which the pre-processing of each language is held against the reference."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgepack.contract import ImageInput
from edgepack.contract.preprocess import prepare, read_image

ROOT = Path(__file__).resolve().parent.parent.parent
PICTURES = ROOT / "examples" / "fashion_mnist" / "pictures"
"""Real pictures, each called after what it shows."""
NASTY = (
    'quote " and \\ back',
    "line\nend\r",
    "$HOME ${x} $",
    "\\(name)",
    "??/ ??= trigraph",
    "☃ 🦙 שלום \u202eltr",
    "%s %n %@",
    "'@?",
    "",
)
"""Texts that upset one language or another."""
_RESIZES, _FILTERS = ("stretch", "shorter-side", "letterbox"), ("nearest", "bilinear", "bicubic")
_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@dataclass(frozen=True)
class Case:
    """One picture under one contract."""

    picture: Path
    image: ImageInput

    @property
    def wanted(self) -> NDArray[Any]:
        """The reference's tensor."""
        return prepare(read_image(self.picture, self.image.channels), self.image)


def words(image: ImageInput) -> list[object]:
    """A contract's picture as drivers read it: numbers, in the order of `cpp/tensors.cpp`."""
    flags = (image.channels == "BGR", image.layout == "NCHW", image.dtype == "uint8")
    found: list[object] = [*image.size, image.depth, *map(int, flags), _RESIZES.index(image.resize)]
    found += [image.shorter_side, image.pad_value, _FILTERS.index(image.interpolation), int(image.antialias)]
    mean = image.mean or (0.0,) * image.depth
    return [*found, *image.value_range, *mean, *(image.std or (1.0,) * image.depth)]


def differing(every: list[Case], folder: Path) -> list[str]:
    """The cases of whose number `folder` holds another tensor than the reference's, as bytes."""
    return [
        f"{case.picture.name} {case.image.resize} {case.image.interpolation}"
        for number, case in enumerate(every)
        if (folder / f"{number}.bin").read_bytes() != case.wanted.tobytes()
    ]


def called(label: str) -> str:
    """What the picture of a label is called."""
    return label.lower().replace(" ", "-").replace("/", "-")


def pictures(folder: Path) -> list[Path]:
    """Written into `folder`: odd sizes, grey, of 16 bits, with transparency, of every EXIF orientation."""
    draw = np.random.default_rng(0)
    found = []
    for number, (high, wide) in enumerate(((37, 53), (91, 40), (64, 64), (7, 5), (300, 201))):
        found.append(_saved(_scene(high, wide, draw), folder / f"size{number}.png"))
    found.append(_saved(_scene(45, 61, draw).convert("L"), folder / "grey.png"))
    found.append(_saved(_transparent(_scene(33, 47, draw), draw), folder / "alpha.png"))
    found.append(_saved(_transparent(_scene(33, 47, draw).convert("L"), draw), folder / "grey-alpha.png"))
    found.append(_saved(_scene(51, 83, draw), folder / "photo.jpg", quality=90))
    found.append(_saved(_scene(50, 31, draw).convert("L"), folder / "grey.jpg", quality=90))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        place = folder / f"exif{orientation}.jpg"
        found.append(_saved(_scene(39, 58, draw), place, quality=90, exif=exif))
    found.append(_saved(_scene(29, 31, draw), folder / "plain.ppm"))
    deep = draw.integers(0, 65536, (23, 34), dtype=np.uint16)
    found.append(_saved(Image.fromarray(deep), folder / "grey16.png"))
    return found


def _scene(high: int, wide: int, draw: np.random.Generator) -> Image.Image:
    """Ramps, edges and noise in colour."""
    y, x = np.mgrid[0:high, 0:wide]
    ramps = np.stack([255 * x / wide, 255 * y / high, 127 + 127 * np.sin(x / 3 + y / 5)], axis=-1)
    noise = draw.integers(0, 256, (high, wide, 3))
    part = draw.random((high, wide, 1)) < 0.3
    return Image.fromarray(np.where(part, noise, ramps).astype(np.uint8))


def _transparent(picture: Image.Image, draw: np.random.Generator) -> Image.Image:
    opacity = draw.integers(0, 256, picture.size[::-1]).astype(np.uint8)
    picture = picture.convert("LA" if picture.mode == "L" else "RGBA")
    picture.putalpha(Image.fromarray(opacity))
    return picture


def _saved(picture: Image.Image, path: Path, **keys: object) -> Path:
    picture.save(path, **keys)  # type: ignore[arg-type]
    return path


def contracts() -> list[ImageInput]:
    """One of each way of resizing, filter, layout, order of channels and type."""
    tables: list[dict[str, object]] = [
        {"size": [32, 24], "mean": _MEAN, "std": _STD},
        {"size": [32, 24], "resize_to": 40, "interpolation": "bicubic", "layout": "NHWC"},
        {
            "size": [29, 41],
            "resize": "stretch",
            "antialias": False,
            "channels": "BGR",
            "mean": [1.5, 2.5, 3.5],
        },
        {"size": [29, 41], "resize": "stretch", "interpolation": "bicubic", "antialias": False},
        {"size": [20, 60], "resize": "letterbox", "pad_value": 114, "value_range": [-1.0, 1.0]},
        {"size": [31, 33], "resize": "stretch", "interpolation": "nearest", "value_range": [0.0, 255.0]},
        {"size": [28, 28], "channels": "L", "mean": [0.286], "std": [0.353]},
        {"size": [48, 48], "layout": "NHWC", "dtype": "uint8"},
    ]
    return [ImageInput.model_validate({"kind": "image", **table}) for table in tables]


def cases(folder: Path) -> Iterator[Case]:
    """Every picture under every contract."""
    for path in pictures(folder):
        for image in contracts():
            yield Case(path, image)


def full_range(luma: NDArray[np.int64], u: NDArray[np.int64], v: NDArray[np.int64]) -> NDArray[np.uint8]:
    """RGB of YUV in full range, BT.601, by CONTRACT.md's arithmetic; all of one shape."""
    u, v = u - 128, v - 128
    red = luma + ((91881 * v + 32768) >> 16)
    green = luma - ((22554 * u + 46802 * v + 32768) >> 16)
    blue = luma + ((116130 * u + 32768) >> 16)
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 255).astype(np.uint8)


def decoded(path: Path) -> tuple[NDArray[np.uint8], int]:
    """A picture's pixels as a platform's decoder gives them, and its EXIF orientation."""
    with Image.open(path) as opened:
        orientation = int(opened.getexif().get(0x0112, 1))
        if opened.mode.startswith("I;16"):  # Pillow's own conversion clips, where platforms scale
            deep = np.asarray(opened).astype(np.uint32)
            return ((deep * 255 + 32895) >> 16).astype(np.uint8), orientation
        mode = "RGBA" if opened.has_transparency_data else ("L" if opened.mode == "L" else "RGB")
        return np.asarray(opened.convert(mode), np.uint8), orientation


def wav(
    path: Path, sound: NDArray[np.float64], rate: int, bits: int, *, tag: int = 1, extensible: bool = False
) -> NDArray[np.float32]:
    """Write `sound` ([samples, channels], from -1 to 1) as PCM (`tag` 1) or floats (3) of so many bits; what
    CONTRACT.md makes of the file."""
    samples, channels = sound.shape
    if tag == 3:
        raw = sound.astype("<f4")
        data, values = raw.tobytes(), raw.astype(np.float64)
    else:
        whole = np.round(sound * (2.0 ** (bits - 1) - 1)).astype(np.int64)
        values = whole / 2.0 ** (bits - 1)
        stored = (whole + 128 if bits == 8 else whole).astype("<i8").reshape(-1, 1)
        data = stored.view(np.uint8)[:, : bits // 8].tobytes()
    width = channels * bits // 8
    head = struct.pack("<HHIIHH", 0xFFFE if extensible else tag, channels, rate, rate * width, width, bits)
    if extensible:
        head += struct.pack("<HHIH", 22, bits, 0, tag) + bytes.fromhex("000000001000800000aa00389b71")
    chunks = [(b"fmt ", head), (b"LIST", b"odd"), (b"data", data)]
    body = b"".join(
        name + struct.pack("<I", len(held)) + held + b"\0" * (len(held) % 2) for name, held in chunks
    )
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body)
    total = np.zeros(samples)
    for channel in values.T:
        total = total + channel
    mean: NDArray[np.float32] = (total / channels).astype(np.float32)
    return mean
