"""Proof of the Python apps: typed, and run on this host from a copy, alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from subprocess import CompletedProcess

from edgepack import bundle

from . import Row, of
from .cases import PICTURES, called, pictures

_TENSORS = """
import importlib, sys, numpy
preprocess, sample = (importlib.import_module(f"{sys.argv[1]}.{name}") for name in ("preprocess", "sample"))
for path in sys.argv[2:]:
    picture = preprocess.read_picture(path, sample.PICTURE["channels"])
    (tensor,) = sample.of_picture(picture, sample.PICTURE).inputs
    numpy.save(path + ".npy", tensor)
"""


def module(app: Path) -> str:
    """The package of a rendered app."""
    (found,) = (path.parent.name for path in app.glob("*/__main__.py"))
    return found


def prove(app: Path, folder: Path) -> list[Row]:
    """What came of a rendered app, whose bundle lies in `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        copy, place = Path(scratch) / "app", Path(scratch) / "installed"
        shutil.copytree(app, copy)
        typed = run(["-m", "mypy"], copy, module(app))
        tested = run(["-m", module(app)], copy, "--selftest")
        rows = [
            _row("types (mypy, strict)", typed, typed.stdout.strip().splitlines()[-1:]),
            _row("self-test, as it lies", tested, _told(tested)),
        ]
        if problem := installed(copy, place):
            return [*rows, Row("installed as a package", "failed", problem)]
        shutil.rmtree(copy)
        tested = command(place, "--selftest")
        rows.append(_row("self-test, by its command, installed", tested, _told(tested)))
        return [*rows, _labels(place, folder), _tensors(place, folder, Path(scratch))]


def installed(app: Path, place: Path) -> str:
    """Build the app's wheel and install that into `place`; what went wrong, or empty."""
    line = [
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
    ]
    ended = run([*line, "--root-user-action=ignore", "--target", str(place)], app, ".")
    return (ended.stderr.strip().splitlines() or ["no word"])[-1] if ended.returncode else ""


def command(place: Path, *words: str) -> CompletedProcess[str]:
    """The command of an app that is installed in `place`, run from elsewhere."""
    (script,) = (place / "bin").iterdir()
    return run([str(script)], place.parent, *words, path=place)


def run(line: list[str], folder: Path, *words: str, path: Path | None = None) -> CompletedProcess[str]:
    """How a Python program ended, without this checkout on its path."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MYPYPATH")}
    env |= {"PYTHONPATH": str(path)} if path else {}
    whole = [sys.executable, *line, *words]
    return subprocess.run(whole, cwd=folder, env=env, capture_output=True, text=True, check=False)


def _told(ended: CompletedProcess[str]) -> list[str]:
    told = [each for each in ended.stdout.splitlines() if each.startswith(("passed", "FAILED"))]
    return told or [ended.stderr]


def _row(what: str, ended: CompletedProcess[str], told: list[str]) -> Row:
    return Row(what, "failed" if ended.returncode else "ok", "".join(told[:1]))


def _labels(place: Path, folder: Path) -> Row:
    """Whether each picture's label is the one that its file is called after."""
    labels = bundle.open_bundle(folder)[2].labels
    paths = sorted(PICTURES.glob("*.png"))
    said = command(place, *map(str, paths), "--top", "1").stdout.splitlines()[1::2]
    given = [next((each for each in labels if line.endswith(f"  {each}")), "") for line in said]
    wrong = [
        path.stem for path, label in zip(paths, [*given, *[""] * len(paths)]) if called(label) != path.stem
    ]
    return of("labels of real pictures", wrong, "all as their file names say")


def _tensors(place: Path, folder: Path, scratch: Path) -> Row:
    """Whether odd, grey, transparent and turned pictures give the reference's bits."""
    import numpy as np

    from edgepack.contract.preprocess import prepare, read_image

    image = bundle.open_bundle(folder)[2].image
    assert image is not None
    paths = pictures(scratch)
    ended = run(["-c", _TENSORS], scratch, module(place), *map(str, paths), path=place)
    if ended.returncode:
        return Row("pre-processing", "failed", ended.stderr.strip().splitlines()[-1])
    wrong = [
        path.name
        for path in paths
        if not np.array_equal(np.load(f"{path}.npy"), prepare(read_image(path, image.channels), image))
    ]
    return of("pre-processing", wrong, f"{len(paths)} pictures, the reference's bits")
