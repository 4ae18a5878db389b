"""The bundle: the output folder of one target. It is written whole or not at all."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from edgepack import formats
from edgepack import report as reports
from edgepack.arrays import Array, Sample
from edgepack.contract import Contract, ImageInput, expected
from edgepack.contract.preprocess import prepare
from edgepack.errors import BundleError
from edgepack.formats import Description
from edgepack.report import Report
from edgepack.target import Target

MANIFEST, REPORT, CONTRACT = "bundle.json", "report.json", "contract.json"
MODELS, GOLDEN, APP = "model", "golden", "app"
RECIPE, PARETO, EXPECTED = "recipe.toml", "pareto.svg", expected.FILE
SCHEMA = 1
GOLDEN_SAMPLES = 8
_MADE_BY = ("edgepack", "torch", "torchvision", "numpy")
"""Packages that make a bundle, whatever its formats."""


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside the bundles, removed at the end, as is `out` if it is then empty.

    Raises BundleError where `out` cannot be written, or where the disk fills up meanwhile.
    """
    made: list[Path] = []
    folder: Path | None = None
    try:
        made = _make(out)
        folder = Path(tempfile.mkdtemp(prefix=".edgepack-", dir=out))
        yield folder
    except OSError as cause:
        full = cause.errno == errno.ENOSPC or (folder is not None and _full(folder))
        raise _unwritable(out, cause, full=full) from cause
    except BaseException as cause:
        if folder and not isinstance(cause, KeyboardInterrupt) and _full(folder):
            raise BundleError(
                f"the disk that holds {out} is full", hint="free room, or give --out"
            ) from cause
        raise
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def _make(folder: Path) -> list[Path]:
    """Create `folder`; returns the folders made, the innermost first."""
    made: list[Path] = []
    missing = [missing_folder for missing_folder in (folder, *folder.parents) if not missing_folder.exists()]
    for missing_folder in reversed(missing):
        missing_folder.mkdir()
        made.insert(0, missing_folder)
    return made


def _unwritable(out: Path, cause: OSError, *, full: bool) -> BundleError:
    if full:
        return BundleError(f"the disk that holds {out} is full", hint="free room, or give --out")
    return BundleError(f"{out} cannot be written: {cause}", hint="give another --out")


def _full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < 64 * 1024


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in _files(path))


def gzipped(path: Path) -> int:
    """Bytes of a file, or of all files in a folder, each gzipped at level 6."""
    return sum(len(gzip.compress(file.read_bytes(), 6, mtime=0)) for file in _files(path))


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def write_golden(
    folder: Path,
    inputs: tuple[Sample, ...],
    reference: tuple[Sample, ...],
    outputs: dict[str, tuple[Sample, ...]],
) -> None:
    """Write the golden vectors: the first samples, the float model's outputs, and each file's own.

    `inputs_<i>.npy`, `outputs_<i>.npy` and `<file name>.outputs_<i>.npy`, one sample in each row.
    Samples of another shape than the first are left out.
    """
    folder.mkdir()
    first = [array.shape for array in inputs[0]]
    rows = [n for n, row in enumerate(inputs) if [array.shape for array in row] == first][:GOLDEN_SAMPLES]
    _stack(folder, "inputs", [inputs[n] for n in rows])
    _stack(folder, "outputs", [reference[n] for n in rows])
    for name, given in outputs.items():
        _stack(folder, f"{name}.outputs", [given[n] for n in rows])


def write_golden_image(folder: Path, image: ImageInput) -> None:
    """Write `picture.npy`, uint8 [H, W, 3] in RGB with odd sides, and `picture_tensor.npy`, the model's input
    for it: an app's pre-processing must give the same bits."""
    high, wide = (image.size[0] * 3 // 2) | 1, (image.size[1] * 7 // 4) | 1
    draw = np.random.default_rng(0)
    y, x = np.mgrid[0:high, 0:wide] / np.array([high, wide]).reshape(2, 1, 1)
    smooth = np.stack([255 * x, 255 * y, 255 * (x + y) / 2], axis=-1)
    picture = np.where(draw.random((high, wide, 1)) < 0.5, smooth, draw.integers(0, 256, (high, wide, 3)))
    pixels = picture.astype(np.uint8)
    np.save(folder / "picture.npy", pixels)
    np.save(folder / "picture_tensor.npy", prepare(pixels, image))


def _stack(folder: Path, name: str, rows: list[Sample]) -> None:
    for number in range(len(rows[0])):
        np.save(folder / f"{name}_{number}.npy", np.stack([row[number] for row in rows]))


def read_golden(folder: Path, name: str) -> tuple[Sample, ...]:
    """The samples that `write_golden` wrote under `name`; empty where it wrote none.

    Raises BundleError where a file of them is damaged.
    """
    columns: list[Array] = []
    while (path := folder / GOLDEN / f"{name}_{len(columns)}.npy").is_file():
        try:
            columns.append(np.load(path, allow_pickle=False))
        except (OSError, EOFError, ValueError) as cause:
            raise BundleError(f"{folder} is damaged: {path.name} cannot be read: {cause}") from cause
    return tuple(tuple(np.array(array, copy=True) for array in row) for row in zip(*columns))


def seal(folder: Path, report: Report, target: Target, contract: Contract) -> None:
    """Write contract, report and manifest into `folder`, which is then whole."""
    (folder / CONTRACT).write_text(contract.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (folder / REPORT).write_text(reports.to_json(replace(report, folder="")), encoding="utf-8")
    manifest = {
        "schema_number": SCHEMA,
        "target": target.model_dump(mode="json"),
        "model": report.model,
        "made_by": versions(),
        "artifacts": {
            artifact.file: {"format": artifact.format, "scheme": artifact.scheme, "verdict": artifact.verdict}
            for artifact in report.artifacts
        },
        "passed": report.passed,
        "contract": contract.model_dump(mode="json"),
        "files": {path.relative_to(folder).as_posix(): _entry(path) for path in _files(folder)},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def record_app(folder: Path, file: str) -> None:
    """Record the app, which runs the model file `file`, in the bundle's manifest and report.

    Raises BundleError where `folder` is no bundle.
    """
    manifest = _manifest(folder)
    report, _, _ = open_bundle(folder)
    (folder / REPORT).write_text(reports.to_json(replace(report, app=file)), encoding="utf-8")
    kept = {name: entry for name, entry in manifest["files"].items() if not name.startswith(f"{APP}/")}
    for path in (folder / REPORT, *_files(folder / APP)):
        kept[path.relative_to(folder).as_posix()] = _entry(path)
    manifest["files"] = dict(sorted(kept.items()))
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _entry(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def put(folder: Path, goal: Path) -> None:
    """Move `folder` to `goal`; an old bundle is replaced only once the new one is ready."""
    old = folder.with_name(folder.name + ".old")
    if goal.exists():
        os.rename(goal, old)
    try:
        os.rename(folder, goal)
    except OSError:
        if old.exists():
            os.rename(old, goal)
        raise


def versions() -> dict[str, str]:
    """Versions of the installed packages that make bundles, those of every format included."""
    found = {"python": platform.python_version()}
    of_formats = [package for name in formats.names() for package in formats.load(name).packages]
    for name in dict.fromkeys([*_MADE_BY, *of_formats]):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def open_bundle(folder: Path) -> tuple[Report, Target, Contract]:
    """The report, the target and the contract of a bundle. Raises BundleError where it is none."""
    manifest = _manifest(folder)
    try:
        return (
            reports.from_json((folder / REPORT).read_text(encoding="utf-8")),
            Target.model_validate(manifest["target"]),
            Contract.model_validate_json((folder / CONTRACT).read_text(encoding="utf-8")),
        )
    except (OSError, KeyError, ValidationError) as cause:
        raise BundleError(f"{folder} is damaged: {str(cause).splitlines()[0]}") from cause


def inspect(path: Path) -> Description:
    """What a model file contains; with its delegation, if it is an unchanged file of a bundle.

    Raises BundleError where it cannot be read or the bundle around it is damaged, and ExportError where
    the format's toolchain is not installed.
    """
    found, folder = formats.describe(path), path.absolute().parent.parent
    file = f"{MODELS}/{path.name}"
    if path.absolute().parent.name != MODELS or not (folder / MANIFEST).is_file():
        return found
    entry = _manifest(folder)["files"].get(file)
    if not path.is_file() or entry is None or entry["sha256"] != _sha256(path):
        return found
    report, _, _ = open_bundle(folder)
    delegation = next((artifact.delegation for artifact in report.artifacts if artifact.file == file), None)
    return replace(found, delegation=delegation)


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise BundleError(f"{folder} is no bundle: it has no {MANIFEST}") from cause
    except (OSError, ValueError) as cause:
        raise BundleError(f"{folder / MANIFEST} cannot be read: {cause}") from cause
    if not isinstance(manifest, dict) or manifest.get("schema_number") != SCHEMA:
        raise BundleError(f"{folder / MANIFEST} is not of schema {SCHEMA}: another edgepack wrote it")
    if not isinstance(manifest.get("files"), dict):
        raise BundleError(f"{folder} is damaged: {MANIFEST} lists no files")
    return manifest


def listed(folder: Path) -> set[str]:
    """The files that the bundle's manifest lists. Raises BundleError where `folder` is no bundle."""
    return set(_manifest(folder)["files"])


def damage(folder: Path) -> list[str]:
    """Files of the bundle that are missing or differ from the manifest."""
    found = []
    for name, entry in _manifest(folder)["files"].items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif _sha256(path) != entry["sha256"]:
            found.append(f"{name} has changed since it was built")
    return found
