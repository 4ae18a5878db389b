"""Download the complete Fashion-MNIST (70,000 images, 31 MB) into the cache folder.

    python fetch.py                 from the Debian package dataset-fashion-mnist
    python fetch.py --data DIR      from the four IDX files in DIR, compressed (.gz) or not

It writes ``train60k.npz`` and ``eval10k.npz`` and prints their paths. The second one is for
evaluation on all 10,000 test images: ``edgepack build ... --eval .../eval10k.npz``.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np

import fashion

PACKAGE = "dataset-fashion-mnist=0.0~git20200523.55506a9-1"
PACKAGE_SHA256 = "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"
PACKAGE_FOLDER = "./usr/share/datasets/fashion-mnist"

IDX_SHA256 = {  # of the unpacked files
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def main() -> None:
    """Fetch the missing files, and print their folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the four IDX files")
    arguments = parser.parse_args()

    target = fashion.folder()
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fashion_mnist-") as temporary:
            source = arguments.data or unpacked(Path(temporary))
            ready = Path(temporary) / "ready"
            ready.mkdir()
            convert(source, ready)
            ready.rename(target)
    print(target / "train60k.npz")
    print(target / "eval10k.npz")


def unpacked(folder: Path) -> Path:
    """Download the Debian package into ``folder`` and extract the IDX files.

    Raises SystemExit where the tools or the package are not to be had.
    """
    other = "`--data DIR` takes the four IDX files of Fashion-MNIST instead"
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise SystemExit(f"apt-get and dpkg-deb (Debian, Ubuntu) are needed; {other}")
    command = ["apt-get", "download", PACKAGE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        reason = f"`{' '.join(command)}` failed: {done.stderr.strip()}"
        raise SystemExit(f"{reason}\nAn `apt-get update` may help, and {other}.")
    (package,) = folder.glob("*.deb")
    if hashlib.sha256(package.read_bytes()).hexdigest() != PACKAGE_SHA256:
        raise SystemExit(f"{package.name} is not the file this script knows (sha256); {other}")
    tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(tar.stdout)) as archive:
        for name in IDX_SHA256:
            member = archive.extractfile(f"{PACKAGE_FOLDER}/{name}.gz")
            assert member is not None
            (folder / f"{name}.gz").write_bytes(member.read())
    return folder


def convert(source: Path, target: Path) -> None:
    """Write the IDX files of one folder into another as ``.npz``."""
    for part, stem in (("train60k", "train"), ("eval10k", "t10k")):
        # IDX files of images have a header of 16 bytes, those of labels of 8
        pictures = np.frombuffer(idx(source, f"{stem}-images-idx3-ubyte"), np.uint8, offset=16)
        labels = np.frombuffer(idx(source, f"{stem}-labels-idx1-ubyte"), np.uint8, offset=8)
        fashion.save(target / f"{part}.npz", pictures.reshape(-1, 28, 28), labels.astype(np.int64))


def idx(folder: Path, name: str) -> bytes:
    """The content of one IDX file.

    Raises SystemExit if it is missing, damaged or not Fashion-MNIST's.
    """
    packed, plain = folder / f"{name}.gz", folder / name
    try:
        content = gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise SystemExit(f"{folder} holds no readable {name} or {name}.gz: {error}") from error
    if hashlib.sha256(content).hexdigest() != IDX_SHA256[name]:
        raise SystemExit(f"{name} in {folder} is not that of Fashion-MNIST (sha256)")
    return content


if __name__ == "__main__":
    main()
