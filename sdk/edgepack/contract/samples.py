"""Samples: inputs of the model, made ready from pictures, arrays or a callable."""

from __future__ import annotations

import csv
import hashlib
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from edgepack import python_reference, toml
from edgepack.arrays import Array, Sample
from edgepack.contract import Contract, ImageInput, Input
from edgepack.contract.preprocess import prepare, read_picture
from edgepack.errors import SourceError

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})
HOLD_OUT = 3
"""Where one set is given, every third sample (in a seeded order) is kept for evaluation."""


@dataclass(frozen=True)
class Samples:
    """Inputs in the contract's form, with class numbers where they are known."""

    inputs: tuple[Sample, ...]
    labels: tuple[int, ...] | None
    origin: str
    """Where they come from, in words."""
    left_out: tuple[str, ...] = ()
    """Broken pictures, each with what is wrong with it."""

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def fingerprint(self) -> str:
        """sha256 over types, shapes and values, in order, as the model takes them."""
        digest = hashlib.sha256()
        for row in self.inputs:
            for array in row:
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def take(self, indices: Sequence[int], origin: str) -> Samples:
        """The samples at `indices`."""
        labels = None if self.labels is None else tuple(self.labels[i] for i in indices)
        chosen = tuple(self.inputs[i] for i in indices)
        return replace(self, inputs=chosen, labels=labels, origin=origin)


def load(where: str, contract: Contract, *, with_labels: bool) -> Samples:
    """Samples from a folder of pictures, an `.npz`, an `.npy` or `file.py:name`.

    A picture that cannot be read is named in `left_out`. Raises SourceError where nothing is left,
    where shapes or types are not the contract's, or where labels are wanted and contradict it.
    """
    path = Path(where)
    if path.is_dir():
        samples = _from_folder(path, contract, with_labels)
    elif path.suffix in (".npz", ".npy") and path.is_file():
        samples = _from_arrays(path, contract, with_labels)
    elif ".py:" in where:
        samples = _from_callable(where, contract)
    else:
        raise SourceError(
            f"there are no samples at '{where}'",
            hint="give a folder of pictures, an .npz, an .npy, or file.py:name",
        )
    if not samples.inputs:
        raise SourceError(f"'{where}' holds no samples")
    _check_labels(samples, contract)
    return samples


def split(samples: Samples, seed: int = 0) -> tuple[Samples, Samples]:
    """Calibration and evaluation parts of one set: two thirds and one third, in a seeded order."""
    order = np.random.default_rng(seed).permutation(len(samples)).tolist()
    held = order[::HOLD_OUT]
    kept = [i for n, i in enumerate(order) if n % HOLD_OUT]
    return (
        samples.take(kept, f"{len(kept)} of {samples.origin}"),
        samples.take(held, f"{len(held)} of {samples.origin}, held out from calibration"),
    )


def synthetic(contract: Contract, count: int = 8, seed: int = 0) -> Samples:
    """Seeded noise in the contract's form: enough to see that files run and agree, no more."""
    draw = np.random.default_rng(seed)
    rows = [tuple(_noise(each, draw) for each in contract.inputs) for _ in range(count)]
    return Samples(tuple(rows), None, f"{count} synthetic samples (noise)")


def _noise(each: Input, draw: np.random.Generator) -> Array:
    if isinstance(each, ImageInput):
        pixels = (*each.size, each.depth) if each.depth > 1 else each.size
        return prepare(draw.integers(0, 256, pixels, dtype=np.uint8), each)
    shape = tuple(1 if isinstance(dim, str) else dim for dim in each.shape)
    if each.dtype in ("float32", "float16"):
        return draw.standard_normal(shape).astype(each.dtype)
    return draw.integers(0, 2, shape).astype(each.dtype)


def _from_folder(folder: Path, contract: Contract, with_labels: bool) -> Samples:
    image = contract.image
    if image is None:
        raise SourceError(
            f"{folder} is a folder of pictures, but the model does not take one picture",
            hint="give an .npz with inputs, or declare the input with --input image:…",
        )
    listed = _listed(folder)
    if not listed:
        raise SourceError(
            f"{folder} holds no pictures", hint=f"endings it looks for: {' '.join(sorted(PICTURES))}"
        )
    rows: list[Sample] = []
    words: list[str] = []
    broken: list[str] = []
    for path, word in listed:
        try:
            rows.append((prepare(read_picture(path, image.channels), image),))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as cause:
            broken.append(f"{os.path.relpath(path, folder)}: {cause}")
            continue
        words.append(word)
    if not rows:
        raise SourceError(f"none of the {len(broken)} pictures in {folder} can be read: {broken[0]}")
    labelled = with_labels and all(words)
    labels = _class_numbers(words, contract, folder) if labelled else None
    return Samples(tuple(rows), labels, f"{len(rows)} pictures of {folder.name}/", tuple(broken))


def _listed(folder: Path) -> list[tuple[Path, str]]:
    """Pictures with their label's word; the empty word where none is given."""
    table = folder / "labels.csv"
    if table.is_file():
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                rows = csv.DictReader(file)
                if not {"file", "label"} <= set(rows.fieldnames or ()):
                    raise SourceError(f"{table} needs the columns file,label; it has {rows.fieldnames}")
                return [(folder / row["file"], row["label"]) for row in rows]
        except (OSError, UnicodeDecodeError, csv.Error) as cause:
            raise SourceError(f"{table} cannot be read: {cause}") from cause
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    return [(path, path.parent.name if path.parent != folder else "") for path in found]


def _class_numbers(words: list[str], contract: Contract, where: Path) -> tuple[int, ...]:
    """Class numbers of label words: by the contract's labels, else numbers, else sorted order."""
    known = contract.classes.labels if contract.classes else ()
    if known:
        strange = [word for word in words if word not in known and not word.isdigit()]
        if strange:
            raise SourceError(
                f"{where}: '{strange[0]}' is not among the model's {len(known)} labels: "
                + toml.near(strange[0], list(known) if len(known) <= 10 else _close(known))
            )
        return tuple(known.index(word) if word in known else int(word) for word in words)
    if all(word.isdigit() for word in words):
        return tuple(int(word) for word in words)
    order = sorted(set(words))  # the convention of torchvision.datasets.ImageFolder
    return tuple(order.index(word) for word in words)


def _close(labels: tuple[str, ...]) -> list[str]:
    return [*labels[:5], "…"]


def _from_arrays(path: Path, contract: Contract, with_labels: bool) -> Samples:
    data = _arrays(path)
    several = len(contract.inputs) > 1
    keys = [f"inputs_{i}" for i in range(len(contract.inputs))] if several else ["inputs"]
    missing = [key for key in keys if key not in data]
    if missing:
        raise SourceError(f"{path} has no array '{missing[0]}'; it has {', '.join(data)}")
    columns = [np.atleast_1d(data[key]) for key in keys]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise SourceError(f"{path}: {', '.join(keys)} differ in length: {sorted(lengths)}")
    rows = tuple(_row(row, contract, path.name) for row in zip(*columns))
    labels = None
    if with_labels and "labels" in data:
        numbers = data["labels"]
        if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
            raise SourceError(f"{path}: labels must be class numbers, one a sample")
        labels = tuple(numbers.tolist())
        if len(labels) != len(rows):
            raise SourceError(f"{path}: {len(rows)} inputs but {len(labels)} labels")
    return Samples(rows, labels, f"{len(rows)} samples of {path.name}")


def _arrays(path: Path) -> dict[str, Array]:
    """The arrays of an `.npz`, or the one of an `.npy` under the name `inputs`."""
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return {"inputs": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as cause:
        raise SourceError(f"{path} cannot be read as NumPy arrays: {cause}") from cause


def _from_callable(where: str, contract: Contract) -> Samples:
    """Samples that a callable in a Python file yields: tensors, arrays, or tuples of them."""
    import torch

    call = python_reference.attribute(where)
    if not callable(call):
        raise SourceError(f"'{where}' is not callable: it must yield tensors or tuples of them")
    given: list[list[Array]] = []
    try:
        for item in call():
            parts = item if isinstance(item, (tuple, list)) else (item,)
            given.append([np.asarray(p.detach() if isinstance(p, torch.Tensor) else p) for p in parts])
    except (Exception, SystemExit) as cause:  # whatever the user's code raises
        raise SourceError(f"{where} raises {type(cause).__name__}: {cause}") from cause
    rows = tuple(_row(arrays, contract, where) for arrays in given)
    return Samples(rows, None, f"{len(rows)} samples of {where}")


def _row(row: Sequence[Array], contract: Contract, where: str) -> Sample:
    if len(row) != len(contract.inputs):
        raise SourceError(f"{where}: a sample has {len(row)} arrays, the model takes {len(contract.inputs)}")
    return tuple(_array(value, each, where) for value, each in zip(row, contract.inputs))


def _array(value: Array, each: Input, where: str) -> Array:
    """One input's array with its batch dimension; a uint8 picture is pre-processed."""
    if isinstance(each, ImageInput) and value.dtype == np.uint8:
        if value.ndim == 3 and value.shape[2] == 1:
            value = value[:, :, 0]
        if not value.size or value.ndim not in (2, 3) or value.shape[2:] not in ((), (3,), (4,)):
            got = "x".join(str(dim) for dim in value.shape) or "a number"
            raise SourceError(f"{where}: a uint8 picture is HxW or HxWx3, a sample is {got}")
        return prepare(value.astype(np.uint8), each)
    if value.ndim == len(each.shape) - 1:
        value = value[None]
    fits = value.ndim == len(each.shape) and all(
        isinstance(dim, str) or dim == size for dim, size in zip(each.shape, value.shape)
    )
    if not fits:
        wanted = "x".join(str(dim) for dim in each.shape)
        got = "x".join(str(dim) for dim in value.shape)
        raise SourceError(f"{where}: '{each.name}' is {wanted}, a sample is {got}")
    if value.dtype != np.dtype(each.dtype):
        if not np.can_cast(value.dtype, each.dtype, "same_kind"):
            raise SourceError(f"{where}: '{each.name}' is {each.dtype}, a sample is {value.dtype}")
        value = value.astype(each.dtype)
    # a copy: indexing with [None] leaves a stride of 0, which ExecuTorch refuses
    return np.array(value, order="C", copy=True)


def _check_labels(samples: Samples, contract: Contract) -> None:
    count = len(contract.classes.labels) if contract.classes else 0
    wrong = [label for label in samples.labels or () if label < 0 or (count and label >= count)]
    if wrong:
        known = f", labels are 0..{count - 1}" if count else ""
        raise SourceError(f"{samples.origin}: class {wrong[0]} does not exist{known}")
