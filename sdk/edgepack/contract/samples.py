"""Samples: inputs of a model, read from a folder of images, from arrays, or from a Python callable."""

from __future__ import annotations

import csv
import hashlib
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from edgepack import python_reference, toml
from edgepack.arrays import Array, Sample
from edgepack.contract import labels as sample_labels
from edgepack.contract import texts
from edgepack.contract.inputs import InputKind
from edgepack.contract.schema import Contract
from edgepack.errors import SourceError
from edgepack.python_reference import Reference

HOLD_OUT = 3
"""If there is one set only, every third sample (in a seeded order) is kept for evaluation."""
_SHOWN_LABELS = 5
_LABELS = frozenset({"labels", "boxes", "classes"})
"""Arrays of an `.npz` that are labels, even where an input has that name."""


@dataclass(frozen=True)
class Samples:
    """Inputs of a model as its contract defines them, with class numbers if they are known."""

    inputs: tuple[Sample, ...]
    labels: tuple[int, ...] | None
    origin: str
    """Where the samples come from, in words."""
    left_out: tuple[str, ...] = ()
    """Files that could not be read, each with the reason."""
    annotations: tuple[Sample, ...] | None = None
    """Labels that are no class numbers, a tuple of arrays per sample: see `contract.labels`."""
    is_noise: bool = False
    """Whether the inputs are noise, not samples that anybody gave."""

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def truth(self) -> tuple[Sample, ...] | None:
        """The labels, of either kind, as arrays; None if there are none."""
        if self.annotations is not None or self.labels is None:
            return self.annotations
        return tuple((np.asarray(label),) for label in self.labels)

    @property
    def fingerprint(self) -> str:
        """sha256 of the types, shapes and values of all inputs, in order."""
        digest = hashlib.sha256()
        for row in self.inputs:
            for array in row:
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def take(self, indices: Sequence[int], origin: str) -> Samples:
        """The samples at `indices`."""
        labels = None if self.labels is None else tuple(self.labels[i] for i in indices)
        notes = None if self.annotations is None else tuple(self.annotations[i] for i in indices)
        chosen = tuple(self.inputs[i] for i in indices)
        return replace(self, inputs=chosen, labels=labels, annotations=notes, origin=origin)


def load(where: str, contract: Contract, *, with_labels: bool) -> Samples:
    """Samples from a folder of images, an `.npz`, an `.npy`, texts, or a callable `file.py:name`.

    A file of a folder that cannot be read is listed in `left_out`. Raises SourceError if no sample
    remains, if shapes or types contradict the contract, or if labels are requested and are invalid.
    """
    path, reference = Path(where), Reference.parse(where)
    if path.is_dir():
        samples = _from_folder(path, contract, with_labels)
    elif path.suffix in texts.SUFFIXES and path.is_file():
        samples = _from_texts(path, contract, with_labels)
    elif path.suffix in (".npz", ".npy") and path.is_file():
        samples = _from_arrays(path, contract, with_labels)
    elif reference and reference.is_file:
        samples = _from_callable(reference, contract)
    else:
        raise SourceError(
            f"there are no samples at '{where}'",
            hint="give a folder of images, an .npz, an .npy, a .txt or .jsonl of texts, or file.py:name",
        )
    if not samples.inputs:
        raise SourceError(f"'{where}' holds no samples")
    _check_labels(samples, contract)
    return samples


def split(samples: Samples, seed: int = 0) -> tuple[Samples, Samples]:
    """Split one set into two thirds for calibration and one third for evaluation, in a seeded order."""
    order = np.random.default_rng(seed).permutation(len(samples)).tolist()
    held = order[::HOLD_OUT]
    kept = [i for n, i in enumerate(order) if n % HOLD_OUT]
    return (
        samples.take(kept, f"{len(kept)} of {samples.origin}"),
        samples.take(held, f"{len(held)} of {samples.origin}, held out from calibration"),
    )


def synthetic(contract: Contract, count: int = 8, seed: int = 0) -> Samples:
    """Seeded noise in the form of the contract: enough to see that a file runs, no more."""
    draw = np.random.default_rng(seed)
    rows = [tuple(declared.synthetic(draw) for declared in contract.inputs) for _ in range(count)]
    return Samples(tuple(rows), None, f"{count} synthetic samples (noise)", is_noise=True)


def _from_folder(folder: Path, contract: Contract, with_labels: bool) -> Samples:
    declared = _file_input(folder, contract)
    listed = _listed(folder, declared.suffixes)
    if not listed:
        suffixes = " ".join(sorted(declared.suffixes))
        others = "".join(f"; {each}" for each in _of_other_suffixes(folder, declared))
        raise SourceError(
            f"{folder} holds no {declared.kind}s{others}", hint=f"supported suffixes: {suffixes}"
        )
    rows: list[Sample] = []
    words: list[str] = []
    broken: list[str] = []
    for path, word in listed:
        try:
            found = declared.read_samples(path)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as cause:
            broken.append(f"{os.path.relpath(path, folder)}: {cause}")
            continue
        rows += [(value,) for value in found]
        words += [word] * len(found)
    if not rows:
        raise SourceError(f"none of the {len(broken)} {declared.kind}s in {folder} can be read: {broken[0]}")
    left_out = (*broken, *_of_other_suffixes(folder, declared))
    labels = _class_numbers(words, contract, folder) if with_labels and all(words) else None
    read = len(listed) - len(broken)
    what = f"{len(rows)} {declared.kind}s" if read == len(rows) else f"{len(rows)} samples of {read} files"
    return Samples(tuple(rows), labels, f"{what} of {folder.name}/", left_out)


_BESIDE = frozenset({"", ".csv", ".txt", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".md", ".ini"})
"""Suffixes of what lies beside samples and is none: annotations, licences, tables."""


def _of_other_suffixes(folder: Path, declared: InputKind) -> list[str]:
    """Files that may be meant as samples and are not read: one sentence for each suffix."""
    if (folder / "labels.csv").is_file():
        return []  # it says what is meant
    others: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if path.name.startswith(".") or suffix in _BESIDE | declared.suffixes or not path.is_file():
            continue
        others.setdefault(suffix, []).append(os.path.relpath(path, folder))
    return [
        f"{len(names)} {suffix} files, such as {names[0]}: {suffix} is not read, convert them"
        for suffix, names in others.items()
    ]


def _file_input(folder: Path, contract: Contract) -> InputKind:
    """The model's only input, if its samples are files. Raises SourceError."""
    first = contract.inputs[0]
    if len(contract.inputs) == 1 and first.suffixes:
        return first
    raise SourceError(
        f"{folder} is a folder of images, but the model's input is not one image or recording",
        hint="give an .npz with inputs, or declare the input with --input image:… or as audio",
    )


def _listed(folder: Path, suffixes: frozenset[str]) -> list[tuple[Path, str]]:
    """Files and their labels, as words; an empty word if there is no label."""
    table = folder / "labels.csv"
    if table.is_file():
        return _listed_in(table)
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    return [(path, path.parent.name if path.parent != folder else "") for path in found]


def _listed_in(table: Path) -> list[tuple[Path, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"file", "label"} <= set(rows.fieldnames or ()):
                raise SourceError(f"{table} needs the columns file,label; it has {rows.fieldnames}")
            return [(table.parent / row["file"], row["label"]) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise SourceError(f"{table} cannot be read: {cause}") from cause


def _class_numbers(words: list[str], contract: Contract, where: Path) -> tuple[int, ...]:
    """Class numbers of labels: their place in the contract's labels, else numbers, else sorted order."""
    known = contract.classes.labels if contract.classes else ()
    if known:
        strange = [word for word in words if word not in known and not word.isdigit()]
        if strange:
            shown = list(known) if len(known) <= 2 * _SHOWN_LABELS else [*known[:_SHOWN_LABELS], "…"]
            raise SourceError(
                f"{where}: '{strange[0]}' is not among the model's {len(known)} labels: "
                + toml.near(strange[0], shown)
            )
        return tuple(known.index(word) if word in known else int(word) for word in words)
    if all(word.isdigit() for word in words):
        return tuple(int(word) for word in words)
    order = sorted(set(words))  # the convention of torchvision.datasets.ImageFolder
    return tuple(order.index(word) for word in words)


def _from_texts(path: Path, contract: Contract, with_labels: bool) -> Samples:
    found = texts.read(path)
    encoded = texts.encoder(contract)
    words = [text.label for text in found]
    labels = _class_numbers(words, contract, path) if with_labels and words and all(words) else None
    return Samples(tuple(encoded(text) for text in found), labels, f"{len(found)} texts of {path.name}")


def _from_arrays(path: Path, contract: Contract, with_labels: bool) -> Samples:
    data = _arrays(path)
    keys = _keys(data, contract)
    missing = [key for key in keys if key not in data]
    if missing:
        raise SourceError(
            f"{path} has no array '{missing[0]}'; it has {', '.join(data)}",
            hint=f"save the samples with numpy.savez(file, {', '.join(f'{key}=…' for key in keys)}); "
            "class indices go into labels=…",
        )
    columns = [np.atleast_1d(data[key]) for key in keys]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise SourceError(f"{path}: {', '.join(keys)} differ in length: {sorted(lengths)}")
    rows = tuple(_row(row, contract, path.name) for row in zip(*columns))
    origin = f"{len(rows)} samples of {path.name}"
    if not with_labels:
        return Samples(rows, None, origin)
    notes = sample_labels.read(data, contract.outputs[0].meaning, len(rows), path)
    named = notes is None and "labels" in data
    labels = _numbers(data["labels"], len(rows), path) if named else None
    return Samples(rows, labels, origin, annotations=notes)


def _keys(data: Mapping[str, Array], contract: Contract) -> list[str]:
    """The arrays of the inputs: `inputs`, `inputs_0` and so on in their order, or the inputs' own names."""
    count = len(contract.inputs)
    numbered = [f"inputs_{i}" for i in range(count)] if count > 1 else ["inputs"]
    names = [declared.name for declared in contract.inputs]
    by_name = all(name in data and name not in _LABELS for name in names)
    return names if by_name and not all(key in data for key in numbered) else numbered


def _numbers(labels: Array, count: int, path: Path) -> tuple[int, ...]:
    """The class numbers of `count` samples. Raises SourceError."""
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise SourceError(f"{path}: labels must be class numbers, one per sample")
    if len(labels) != count:
        raise SourceError(f"{path}: {count} inputs but {len(labels)} labels")
    return tuple(labels.tolist())


def _arrays(path: Path) -> dict[str, Array]:
    """The arrays of an `.npz`, or the array of an `.npy` under the name `inputs`."""
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return {"inputs": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as cause:
        raise SourceError(f"{path} cannot be read as NumPy arrays: {cause}") from cause


def _from_callable(reference: Reference, contract: Contract) -> Samples:
    """Samples that a callable in a Python file yields: tensors, arrays, or tuples of them."""
    import torch

    call = python_reference.attribute(reference)
    if not callable(call):
        raise SourceError(f"'{reference}' is not callable: it must yield tensors or tuples of them")
    given: list[list[Array]] = []
    try:
        with python_reference.restored(reference.place):
            for item in call():
                parts = item if isinstance(item, (tuple, list)) else (item,)
                given.append([np.asarray(p.detach() if isinstance(p, torch.Tensor) else p) for p in parts])
    except (Exception, SystemExit) as cause:  # whatever the user's code raises
        raise SourceError(f"{reference} raises {type(cause).__name__}: {cause}") from cause
    rows = tuple(_row(arrays, contract, str(reference)) for arrays in given)
    return Samples(rows, None, f"{len(rows)} samples of {reference}")


def _row(row: Sequence[Array], contract: Contract, where: str) -> Sample:
    if len(row) != len(contract.inputs):
        raise SourceError(f"{where}: a sample has {len(row)} arrays, the model takes {len(contract.inputs)}")
    return tuple(declared.from_array(value, where) for value, declared in zip(row, contract.inputs))


def _check_labels(samples: Samples, contract: Contract) -> None:
    if contract.outputs[0].kind == "regression":
        return
    count = len(contract.classes.labels) if contract.classes else 0
    wrong = [label for label in samples.labels or () if label < 0 or (count and label >= count)]
    if wrong:
        known = f", labels are 0..{count - 1}" if count else ""
        raise SourceError(f"{samples.origin}: class {wrong[0]} does not exist{known}")
