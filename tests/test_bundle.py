"""Bundles: whole or not there, listed and hashed, and read back."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgepack import bundle
from edgepack.errors import BundleError

# The workshop: a temporary folder, and what is left of it


def test_the_workshop_goes_and_with_it_the_folders_it_needed(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with bundle.staging_folder(out) as folder:
        assert folder.parent == out
        (folder / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    with bundle.staging_folder(tmp_path / "old"):
        pass
    (tmp_path / "old").mkdir()
    with bundle.staging_folder(tmp_path / "old" / "new"):
        pass
    assert list(tmp_path.rglob("*")) == [tmp_path / "old"]


def test_what_was_put_into_its_place_stays(tmp_path: Path) -> None:
    with bundle.staging_folder(tmp_path / "a" / "b") as folder:
        (folder / "made").mkdir()
        os.rename(folder / "made", tmp_path / "a" / "b" / "made")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "a",
        "a/b",
        "a/b/made",
    ]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, BundleError])
def test_whatever_is_raised_comes_out_and_nothing_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error, match=r"^why$"):
        _fill(tmp_path / "a", lambda folder: _raise(folder, error("why")))
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_disk_is_one_of_the_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot be written: .*No such file"):
        _fill(tmp_path, lambda folder: (folder / "no" / "file").write_text("x"))
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(BundleError, match="cannot be written"),
        bundle.staging_folder(tmp_path / "file" / "a"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_fills_up_is_named(small_disk: Path) -> None:
    with pytest.raises(BundleError, match=r"the disk that holds .*/out is full"):
        _fill(small_disk / "out", lambda folder: (folder / "a").write_bytes(bytes(2_000_000)))
    # NumPy's own error has no number, and not every library's is an OSError
    with pytest.raises(BundleError, match=r"the disk that holds .*/out is full"):
        _fill(small_disk / "out", lambda folder: np.save(folder / "a.npy", np.zeros(250_000)))
    with pytest.raises(BundleError, match=r"the disk that holds .*/out is full"):
        _fill(small_disk / "out", _raise_another)
    assert list(small_disk.iterdir()) == []


def _fill(out: Path, write: Callable[[Path], object]) -> None:
    with bundle.staging_folder(out) as folder:
        write(folder)


def _raise(folder: Path, error: BaseException) -> None:
    (folder / "deep").mkdir()
    raise error


def _raise_another(folder: Path) -> None:
    try:
        (folder / "a").write_bytes(bytes(2_000_000))
    except OSError:
        raise RuntimeError("[enforce fail at inline_container.cc]") from None


# Sizes


def test_bytes_of_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(bytes(1000))
    (tmp_path / "a" / "b" / "two").write_bytes(bytes(500))
    assert bundle.bytes_of(tmp_path / "a" / "one") == 1000
    assert bundle.bytes_of(tmp_path / "a") == 1500
    assert bundle.gzipped(tmp_path / "a") < 100
    assert bundle.gzipped(tmp_path / "a") == bundle.gzipped(tmp_path / "a")


# Golden vectors


def golden(folder: Path, *shapes: tuple[int, ...]) -> tuple[tuple[np.ndarray, ...], ...]:
    """Write golden vectors of inputs of these shapes, 12 samples; the samples."""
    draw = np.random.default_rng(0)
    rows = tuple(tuple(draw.standard_normal(shape).astype("f4") for shape in shapes) for _ in range(12))
    bundle.write_golden(folder / bundle.GOLDEN, rows, rows, {"net.onnx": rows})
    return rows


def test_golden_vectors_come_back(tmp_path: Path) -> None:
    rows = golden(tmp_path, (1, 8), (1, 3, 2))
    for name in ("inputs", "outputs", "net.onnx.outputs"):
        found = bundle.read_golden(tmp_path, name)
        assert len(found) == bundle.GOLDEN_SAMPLES
        for read, wrote in zip(found, rows):
            for a, b in zip(read, wrote, strict=True):
                np.testing.assert_array_equal(a, b)
                assert 0 not in a.strides
    assert bundle.read_golden(tmp_path, "another.outputs") == ()


@pytest.mark.parametrize("shape", [(2, 8), (4,), (2, 1, 128)])
def test_golden_vectors_of_another_batch_come_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    rows = golden(tmp_path, shape)
    np.testing.assert_array_equal(bundle.read_golden(tmp_path, "inputs")[0][0], rows[0][0])


def test_samples_of_another_shape_are_left_out(tmp_path: Path) -> None:
    rows = tuple((np.full((1, 3 + n % 2), n, "f4"),) for n in range(6))
    bundle.write_golden(tmp_path / bundle.GOLDEN, rows, rows, {})
    assert [float(each[0][0, 0]) for each in bundle.read_golden(tmp_path, "inputs")] == [0, 2, 4]


def test_damaged_golden_vectors_are_named(bundle_copy: Path) -> None:
    path = bundle_copy / bundle.GOLDEN / "inputs_0.npy"
    for content in (b"", path.read_bytes()[:140], b"junk"):
        path.write_bytes(content)
        with pytest.raises(BundleError, match=r"is damaged: inputs_0\.npy cannot be read"):
            bundle.read_golden(bundle_copy, "inputs")


# The manifest, on a bundle that a build made


def test_the_manifest_lists_every_file_with_its_size_and_hash(built: Path) -> None:
    manifest = json.loads((built / "bundle.json").read_text())
    there = {path.relative_to(built).as_posix(): path for path in built.rglob("*") if path.is_file()}
    del there["bundle.json"]
    assert set(manifest["files"]) == set(there)
    for name, path in there.items():
        content = path.read_bytes()
        told = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert manifest["files"][name] == told
    assert {name.split("/")[0] for name in there} == {
        "app",
        "contract.json",
        "expected.json",
        "golden",
        "model",
        "pareto.svg",
        "recipe.toml",
        "report.json",
    }


def test_the_manifest_tells_what_it_is_and_what_made_it(built: Path) -> None:
    manifest = json.loads((built / "bundle.json").read_text())
    assert manifest["schema_number"] == 1
    assert manifest["target"]["name"] == "raspberry-pi-5"
    assert manifest["made_by"] == bundle.versions()
    assert manifest["made_by"]["python"] == platform.python_version()
    assert {"edgepack", "torch", "onnxruntime"} <= set(manifest["made_by"])
    assert manifest["passed"] is True
    assert manifest["contract"] == json.loads((built / "contract.json").read_text())
    int8 = next(each for name, each in manifest["artifacts"].items() if name.endswith("-w8a8.onnx"))
    assert int8 == {"format": "onnx", "scheme": "w8a8", "verdict": "pass"}


def test_a_bundle_is_read_back(built: Path) -> None:
    report, target, contract = bundle.open_bundle(built)
    assert report.passed
    assert report.folder == ""
    assert target.name == report.target == "raspberry-pi-5"
    assert contract.classes is not None
    assert contract.classes.labels == ("north", "east", "south", "west")
    assert bundle.damage(built) == []


def test_damage_names_what_changed_and_what_is_missing(bundle_copy: Path) -> None:
    (bundle_copy / "app" / "pyproject.toml").write_text("changed")
    (bundle_copy / "contract.json").unlink()
    assert bundle.damage(bundle_copy) == [
        "app/pyproject.toml has changed since it was built",
        "contract.json is missing",
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("bundle.json", None, "is no bundle: it has no bundle.json"),
        ("bundle.json", "", "cannot be read"),
        ("bundle.json", "[]", "is not of schema 1"),
        ("bundle.json", '{"schema_number": 2, "files": {}}', "is not of schema 1: another edgepack"),
        ("bundle.json", '{"schema_number": 1}', "is damaged: bundle.json lists no files"),
        ("bundle.json", '{"schema_number": 1, "files": {}}', "is damaged: 'target'"),
        ("report.json", None, "is damaged"),
        ("report.json", "{}", "is damaged"),
        ("contract.json", "{}", "is damaged"),
    ],
)
def test_a_damaged_bundle(bundle_copy: Path, name: str, content: str | None, words: str) -> None:
    if content is None:
        (bundle_copy / name).unlink()
    else:
        (bundle_copy / name).write_text(content)
    with pytest.raises(BundleError) as raised:
        bundle.open_bundle(bundle_copy)
    assert words in str(raised.value)


# Taking an old bundle's place


def test_a_new_bundle_takes_the_old_one_s_place(bundle_copy: Path, tmp_path: Path) -> None:
    report, target, contract = bundle.open_bundle(bundle_copy)
    shop = tmp_path / "shop"
    (shop / "new").mkdir(parents=True)
    bundle.seal(shop / "new", report, target, contract)
    bundle.put(shop / "new", bundle_copy)
    assert sorted(path.name for path in bundle_copy.iterdir()) == [
        "bundle.json",
        "contract.json",
        "report.json",
    ]
    assert not (shop / "new").exists()


def test_an_old_bundle_stays_where_the_new_one_cannot_take_its_place(
    bundle_copy: Path, tmp_path: Path
) -> None:
    before = sorted(path.name for path in bundle_copy.iterdir())
    with pytest.raises(OSError, match="No such file"):
        bundle.put(tmp_path / "never made", bundle_copy)
    assert sorted(path.name for path in bundle_copy.iterdir()) == before
    shutil.rmtree(bundle_copy)
