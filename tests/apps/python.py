"""Proof of the Python apps: typed, and run on this host from a copy, alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from subprocess import CompletedProcess

from tests.apps import Row, of
from tests.apps.cases import PICTURES, ROOT, called, pictures

from edgepack import bundle

_TENSORS = """
import sys, numpy, preprocess
from sample import PICTURE
for path in sys.argv[1:]:
    frame = preprocess.framed(preprocess.read_picture(path, PICTURE["channels"]), PICTURE)
    numpy.save(path + ".npy", preprocess.prepared(frame, PICTURE))
"""


def prove(app: Path, folder: Path) -> list[Row]:
    """What came of a rendered app, whose bundle lies in `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "app"
        shutil.copytree(app, copy)
        typed = _run(["-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "."], copy)
        tested = _run(["main.py", "--selftest"], copy)
        told = [each for each in tested.stdout.splitlines() if each.startswith(("passed", "FAILED"))]
        return [
            _row("types (mypy, strict)", typed, typed.stdout.strip().splitlines()[-1:]),
            _row("self-test, from a copy", tested, told or [tested.stderr]),
            _labels(copy, folder),
            _tensors(copy, folder, Path(scratch)),
        ]


def _run(words: list[str], folder: Path) -> CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MYPYPATH")}
    line = [sys.executable, *words]
    return subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, check=False)


def _row(what: str, ended: CompletedProcess[str], told: list[str]) -> Row:
    return Row(what, "failed" if ended.returncode else "ok", "".join(told[:1]))


def _labels(app: Path, folder: Path) -> Row:
    """Whether each picture's label is the one that its file is called after."""
    labels = bundle.open_bundle(folder)[2].labels
    wrong = []
    for path in sorted(PICTURES.glob("*.png")):
        said = _run(["main.py", str(path), "--top", "1"], app).stdout.rstrip()
        given = next((each for each in labels if said.endswith(f"  {each}")), "")
        if called(given) != path.stem:
            wrong.append(path.stem)
    return of("labels of real pictures", wrong, "all as their file names say")


def _tensors(app: Path, folder: Path, scratch: Path) -> Row:
    """Whether odd, grey, transparent and turned pictures give the reference's bits."""
    import numpy as np

    from edgepack.preprocess import prepare, read_picture

    image = bundle.open_bundle(folder)[2].image
    assert image is not None
    paths = pictures(scratch)
    ended = _run(["-c", _TENSORS, *map(str, paths)], app)
    if ended.returncode:
        return Row("pre-processing", "failed", ended.stderr.strip().splitlines()[-1])
    wrong = [
        path.name
        for path in paths
        if not np.array_equal(np.load(f"{path}.npy"), prepare(read_picture(path, image.channels), image))
    ]
    return of("pre-processing", wrong, f"{len(paths)} pictures, the reference's bits")
