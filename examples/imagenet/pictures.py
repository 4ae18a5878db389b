"""The image set: 215 photographs with known ImageNet classes, in two labelled folders.

- 20 ImageNet images from foolbox (without a licence), with the class number in the file name;
- 80 photographs from gcompris (GPL-3) and 115 cut-outs from tuxpaint (GPL-2): ``pictures.csv``
  lists them with their classes. The classes were assigned by image and file name, without looking
  at the output of a network.

Because of their licences they are fetched, not committed. Cut-outs are placed on a white square.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import packages
from PIL import Image

import rcc

HERE = Path(__file__).parent
FOLDER = HERE / "pictures"
CALIB_COUNT = 64

Picture = tuple[str, bytes, str]  # file name, content of the file, class


def fetch() -> None:
    """Write ``pictures/calib`` and ``pictures/eval``, each with a ``labels.csv``; print both."""
    if not FOLDER.exists():
        everything = [*_foolbox(), *_gcompris(), *_tuxpaint()]
        everything.sort(key=lambda picture: hashlib.sha256(picture[0].encode()).digest())
        with tempfile.TemporaryDirectory(dir=HERE, prefix=".pictures-") as temporary:
            ready = Path(temporary) / "pictures"
            _write(ready / "calib", everything[:CALIB_COUNT])
            _write(ready / "eval", everything[CALIB_COUNT:])
            ready.rename(FOLDER)
    for part in ("calib", "eval"):
        count = len((FOLDER / part / "labels.csv").read_text().splitlines()) - 1
        print(f"{FOLDER / part}: {count} pictures")


def _write(folder: Path, pictures: list[Picture]) -> None:
    folder.mkdir(parents=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file", "label"))
        for name, content, label in sorted(pictures):
            (folder / name).write_bytes(content)
            table.writerow((name, label))


def _foolbox() -> Iterator[Picture]:
    labels = (HERE / "labels.txt").read_text().splitlines()
    wheel = packages.fetch(packages.FOOLBOX)
    for path, content in packages.members(wheel, lambda path: "/imagenet_" in path):
        if found := re.search(r"imagenet_(\d+)_(\d+)\.jpg$", path):
            yield f"foolbox-{found[1]}.jpg", content, labels[int(found[2])]


def _gcompris() -> Iterator[Picture]:
    classes = _classes("gcompris")
    files = {
        path.removeprefix("gcompris/src/activities/"): picture
        for _, content in packages.members(
            packages.fetch(packages.GCOMPRIS), lambda path: path.endswith(".rcc")
        )
        for path, picture in rcc.files(content)
    }
    for path, label in classes.items():
        yield _name("gcompris", path), files[path], label


def _tuxpaint() -> Iterator[Picture]:
    classes = _classes("tuxpaint")
    stamps = "./usr/share/tuxpaint/stamps/"
    package = packages.fetch(packages.TUXPAINT)
    wanted = {stamps + path for path in classes}
    for path, content in packages.members(package, wanted.__contains__):
        inner = path.removeprefix(stamps)
        yield _name("tuxpaint", inner), _on_white(content), classes[inner]


def _classes(package: str) -> dict[str, str]:
    """Path in the package to class, from ``pictures.csv``."""
    with (HERE / "pictures.csv").open(newline="") as file:
        rows = csv.DictReader(file)
        return {row["path"]: row["label"] for row in rows if row["package"] == package}


def _name(package: str, path: str) -> str:
    """A file name that contains the origin of an image and is unique in the set."""
    return "-".join([package, *path.replace("/resource/", "/").split("/")])


def _on_white(png: bytes) -> bytes:
    """An image with transparency, centered on a white square with the size of its longer side."""
    cutout = Image.open(io.BytesIO(png)).convert("RGBA")
    side = max(cutout.size)
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(cutout, ((side - cutout.width) // 2, (side - cutout.height) // 2))
    result = io.BytesIO()
    square.convert("RGB").save(result, "PNG")
    return result.getvalue()
