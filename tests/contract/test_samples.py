"""Samples: from images, arrays and callables, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgepack.contract import Contract, ImageInput, Output, TensorInput, samples
from edgepack.errors import SourceError

LABELS = ("ant", "bee", "cat")
CLASSES = Output(kind="classification", labels=LABELS)
IMAGE = Contract(inputs=(ImageInput(kind="image", size=(8, 8)),), outputs=(CLASSES,))
TENSOR = Contract(inputs=(TensorInput(kind="tensor", shape=(1, 8)),), outputs=(CLASSES,))
UNNAMED = Contract(inputs=TENSOR.inputs, outputs=(Output(kind="classification"),))
STATE = Contract(
    inputs=(
        TensorInput(kind="tensor", name="x", shape=(1, 8)),
        TensorInput(kind="tensor", name="state", shape=(2, 1, 4), dtype="int64"),
    ),
    outputs=(Output(),),
)


def load(where: object, contract: Contract, *, with_labels: bool = True) -> samples.Samples:
    return samples.load(str(where), contract, with_labels=with_labels)


def refused(where: object, contract: Contract) -> str:
    with pytest.raises(SourceError) as raised:
        load(where, contract)
    return str(raised.value)


def image(path: Path, color: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 11), color).save(path)
    return path


# Folders of images


def test_sub_folders_are_labels(tmp_path: Path) -> None:
    for name in ("cat/1.png", "ant/1.JPG", "bee/1.webp", "bee/deep/cat/2.bmp"):
        image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    found = load(tmp_path, IMAGE)
    assert found.labels == (0, 1, 2, 2)
    assert [each[0].shape for each in found.inputs] == [(1, 3, 8, 8)] * 4
    assert found.origin == f"4 images of {tmp_path.name}/"
    assert load(tmp_path, IMAGE, with_labels=False).labels is None


def test_without_labels_in_the_contract_folders_are_numbered_by_name(tmp_path: Path) -> None:
    for name in ("zebra/1.png", "emu/1.png"):
        image(tmp_path / name)
    contract = Contract(inputs=IMAGE.inputs, outputs=(Output(kind="classification"),))
    assert load(tmp_path, contract).labels == (0, 1)
    (tmp_path / "zebra").rename(tmp_path / "7")
    (tmp_path / "emu").rename(tmp_path / "10")
    assert load(tmp_path, contract).labels == (10, 7)


def test_images_beside_sub_folders_have_no_label_so_none_has(tmp_path: Path) -> None:
    image(tmp_path / "cat" / "1.png")
    image(tmp_path / "2.png")
    assert load(tmp_path, IMAGE).labels is None


def test_labels_csv_names_words_or_numbers(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "unlisted.png"):
        image(tmp_path / name)
    (tmp_path / "labels.csv").write_text("file,label,by\nb.png,cat,me\na.png,1,you\n", encoding="utf-8-sig")
    found = load(tmp_path, IMAGE)
    assert found.labels == (2, 1)
    assert len(found) == 2


def test_a_broken_image_is_named_and_left_out(tmp_path: Path) -> None:
    whole = image(tmp_path / "cat" / "whole.png")
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / "cut.png").write_bytes(whole.read_bytes()[:40])
    (tmp_path / "ant" / "none.jpg").write_bytes(b"")
    (tmp_path / "ant" / "folder.png").mkdir()
    found = load(tmp_path, IMAGE)
    assert found.labels == (2,)
    assert [each.partition(":")[0] for each in found.left_out] == [
        "ant/cut.png",
        "ant/folder.png",
        "ant/none.jpg",
    ]


def test_an_image_too_large_to_open_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(tmp_path / "small.png")
    Image.new("RGB", (99, 99)).save(tmp_path / "vast.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    found = load(tmp_path, IMAGE)
    assert len(found) == 1
    assert found.left_out[0].startswith("vast.png: Image size")


def test_files_that_labels_csv_names_and_that_are_missing_are_left_out(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("file,label\na.png,ant\n../gone.png,bee\n/nowhere/b.png,cat\n")
    found = load(tmp_path, IMAGE)
    assert found.labels == (0,)
    assert found.left_out[0].startswith("../gone.png: ")
    assert "nowhere/b.png" in found.left_out[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "needs the columns file,label; it has None"),
        (b"name,class\na.png,cat\n", "needs the columns file,label; it has ['name', 'class']"),
        (b"file,class\na.png,cat\n", "needs the columns file,label; it has ['file', 'class']"),
        (b"file,label\na.png,\xe9\n", "labels.csv cannot be read"),
        (b"file,label\na.png,dog\n", "'dog' is not among the model's 3 labels: there are: ant, bee, cat"),
        (b"file,label\na.png,bea\n", "did you mean 'bee'?"),
        (b"file,label\na.png,3\n", "class 3 does not exist, labels are 0..2"),
        (b"file,label\nb.png,cat\n", "none of the 1 images"),
        (b"file,label\n", "holds no images"),
    ],
)
def test_labels_csv_that_cannot_be_used(tmp_path: Path, content: bytes, words: str) -> None:
    image(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_bytes(content)
    assert words in refused(tmp_path, IMAGE)


def test_folders_with_nothing_in_them(tmp_path: Path) -> None:
    assert "holds no images" in refused(tmp_path, IMAGE)
    (tmp_path / "readme.txt").write_text("hello")
    assert "holds no images" in refused(tmp_path, IMAGE)
    (tmp_path / "a.png").write_bytes(b"no image")
    said = refused(tmp_path, IMAGE)
    assert "none of the 1 images" in said
    assert "a.png" in said


def test_a_folder_of_images_for_a_model_that_takes_tensors(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    assert "the model's input is not one image" in refused(tmp_path, TENSOR)


# Arrays


def test_arrays_get_their_batch_dimension(tmp_path: Path) -> None:
    rows = np.arange(24, dtype=np.float64).reshape(3, 8)
    np.savez(tmp_path / "a.npz", inputs=rows, labels=[2, 0, 1])
    found = load(tmp_path / "a.npz", TENSOR)
    assert found.labels == (2, 0, 1)
    assert found.origin == "3 samples of a.npz"
    assert [(each[0].shape, each[0].dtype) for each in found.inputs] == [((1, 8), np.dtype("float32"))] * 3
    np.testing.assert_array_equal(found.inputs[1][0][0], rows[1])
    np.save(tmp_path / "a.npy", rows.astype(np.float32))
    ready = load(tmp_path / "a.npy", TENSOR)
    assert ready.labels is None
    for (array,) in (*found.inputs, *ready.inputs):
        assert 0 not in array.strides
        assert array.flags["OWNDATA"]


def test_uint8_arrays_are_images_and_float_arrays_are_ready(tmp_path: Path) -> None:
    for shape in ((2, 9, 9), (2, 9, 9, 1), (2, 9, 9, 3)):
        np.save(tmp_path / "a.npy", np.full(shape, 51, np.uint8))
        np.testing.assert_allclose(load(tmp_path / "a.npy", IMAGE).inputs[0][0], 0.2, atol=1e-6)
    np.save(tmp_path / "a.npy", np.full((2, 3, 8, 8), 51, np.float32))
    np.testing.assert_array_equal(load(tmp_path / "a.npy", IMAGE).inputs[0][0], 51)


def test_several_inputs(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", inputs_0=np.zeros((5, 8), "f4"), inputs_1=np.zeros((5, 2, 1, 4), "i8"))
    found = load(tmp_path / "a.npz", STATE)
    assert [each.shape for each in found.inputs[0]] == [(1, 8), (2, 1, 4)]


def test_arrays_with_the_names_of_inputs(tmp_path: Path) -> None:
    names = [declared.name for declared in STATE.inputs]
    arrays = {names[1]: np.ones((5, 2, 1, 4), "i8"), names[0]: np.zeros((5, 8), "f4")}
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    assert [each.shape for each in load(tmp_path / "a.npz", STATE).inputs[0]] == [(1, 8), (2, 1, 4)]
    np.savez(tmp_path / "a.npz", inputs_0=np.ones((5, 8), "f4"), inputs_1=arrays[names[1]], **arrays)  # type: ignore[arg-type]
    assert load(tmp_path / "a.npz", STATE).inputs[0][0].all()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((2, 8))}, "has no array 'inputs'; it has x"),
        ({"inputs": np.zeros((2, 9))}, "'input' is 1x8, a sample is 1x9"),
        ({"inputs": np.zeros((2, 8), complex)}, "'input' is float32, a sample is complex128"),
        ({"inputs": np.array(["a", "b"])}, "'input' is 1x8, a sample is"),
        ({"inputs": np.zeros((0, 8))}, "holds no samples"),
        ({"inputs": np.float32(3)}, "'input' is 1x8, a sample is"),
        ({"inputs": np.zeros((2, 8)), "labels": [0]}, "2 inputs but 1 labels"),
        ({"inputs": np.zeros((2, 8)), "labels": [0, 3]}, "class 3 does not exist, labels are 0..2"),
        ({"inputs": np.zeros((2, 8)), "labels": [0, -1]}, "class -1 does not exist"),
        ({"inputs": np.zeros((2, 8)), "labels": ["ant", "bee"]}, "labels must be class numbers"),
        ({"inputs": np.zeros((2, 8)), "labels": [0.5, 1.5]}, "labels must be class numbers"),
        ({"inputs": np.zeros((2, 8)), "labels": np.eye(2, dtype=int)}, "labels must be class numbers"),
        ({"inputs": np.zeros((2, 8)), "labels": 1}, "labels must be class numbers"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: dict[str, object], words: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    assert words in refused(tmp_path / "a.npz", TENSOR)


@pytest.mark.parametrize(
    ("shape", "said"),
    [((3, 8, 8), "3x8x8"), ((8, 8, 2), "8x8x2"), ((0, 8, 3), "0x8x3"), ((8,), "8"), ((), "")],
)
def test_uint8_arrays_that_are_no_images(tmp_path: Path, shape: tuple[int, ...], said: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((1, *shape), np.uint8))
    assert f"a uint8 image is HxW or HxWx3, a sample is {said}" in refused(tmp_path / "a.npy", IMAGE)


def test_several_inputs_that_do_not_fit(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", inputs_0=np.zeros((5, 8), "f4"))
    assert "has no array 'inputs_1'" in refused(tmp_path / "a.npz", STATE)
    np.savez(tmp_path / "a.npz", inputs_0=np.zeros((5, 8), "f4"), inputs_1=np.zeros((4, 2, 1, 4), "i8"))
    assert "differ in length: [4, 5]" in refused(tmp_path / "a.npz", STATE)
    np.savez(tmp_path / "a.npz", inputs_0=np.zeros((5, 8), "f4"), inputs_1=np.zeros((5, 2, 1, 4), "f4"))
    assert "'state' is int64, a sample is float32" in refused(tmp_path / "a.npz", STATE)


def test_damaged_files(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "whole.npz", inputs=np.random.default_rng(0).random((50, 8)))
    np.save(tmp_path / "whole.npy", np.zeros((50, 8)))
    np.save(tmp_path / "objects.npy", np.array([None, 3], object), allow_pickle=True)
    assert "Object arrays" in refused(tmp_path / "objects.npy", TENSOR)
    for ending in ("npz", "npy"):
        whole = (tmp_path / f"whole.{ending}").read_bytes()
        middle = len(whole) // 2
        for content in (b"", b"junk", whole[:middle], whole[:9], whole[:300] + bytes(50) + whole[350:]):
            damaged = tmp_path / f"damaged.{ending}"
            damaged.write_bytes(content)
            if ending == "npy" and len(content) == len(whole):
                continue  # other numbers, which nothing can tell
            assert f"damaged.{ending} cannot be read as NumPy arrays" in refused(damaged, TENSOR)


def test_nothing_there() -> None:
    assert "there are no samples at 'nowhere'" in refused("nowhere", TENSOR)
    assert "there are no samples at 'nowhere.npz'" in refused("nowhere.npz", TENSOR)


# Callables


CALLS = """
import sys
import numpy as np
import torch

def good():
    yield torch.zeros(8, requires_grad=True)
    yield (torch.ones(1, 8),)
    yield [np.zeros(8)]

def raises():
    yield torch.zeros(8)
    raise RuntimeError("the disk went away")

def exits():
    sys.exit(3)

def gives_nothing():
    return None

def gives_none():
    return []

def wants(more):
    yield more

def two():
    yield torch.zeros(8), torch.zeros(8)

def wrong():
    yield torch.zeros(9)

number = 3
"""


def test_a_callable_yields_tensors_or_tuples(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(CALLS)
    found = load(f"{tmp_path}/data.py:good", TENSOR)
    assert [each[0].shape for each in found.inputs] == [(1, 8)] * 3
    assert found.labels is None
    assert found.origin.startswith("3 samples of ")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises", "raises raises RuntimeError: the disk went away"),
        ("exits", "raises SystemExit: 3"),
        ("gives_nothing", "raises TypeError: 'NoneType' object is not iterable"),
        ("gives_none", "holds no samples"),
        ("wants", "missing 1 required positional argument"),
        ("two", "a sample has 2 arrays, the model takes 1"),
        ("wrong", "'input' is 1x8, a sample is 1x9"),
        ("number", "data.py:number' is not callable: it must yield"),
        ("god", "has no 'god': did you mean 'good'?"),
    ],
)
def test_a_callable_that_cannot_be_used(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "data.py").write_text(CALLS)
    assert words in refused(f"{tmp_path}/data.py:{name}", TENSOR)


# Splitting and noise


def test_split_keeps_a_third_back_and_loses_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", inputs=np.arange(240.0).reshape(30, 8), labels=np.arange(30) % 3)
    whole = load(tmp_path / "a.npz", TENSOR)
    kept, held = samples.split(whole)
    assert (len(kept), len(held)) == (20, 10)
    assert "held out" in held.origin
    first = sorted(float(each[0][0, 0]) for part in (kept, held) for each in part.inputs)
    assert first == [8.0 * n for n in range(30)]
    for part in (kept, held):
        assert part.labels == tuple(int(each[0][0, 0]) // 8 % 3 for each in part.inputs)
    again = samples.split(whole)[1]
    assert [each[0].tobytes() for each in again.inputs] == [each[0].tobytes() for each in held.inputs]


def test_two_samples_can_be_split(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 8)))
    kept, held = samples.split(load(tmp_path / "a.npy", TENSOR))
    assert (len(kept), len(held)) == (1, 1)


def test_synthetic_samples_have_the_contract_s_form_and_repeat() -> None:
    free = TensorInput(kind="tensor", name="f", shape=("N", 4), dtype="float16")
    whole = TensorInput(kind="tensor", name="i", shape=(2, 3), dtype="int64")
    flags = TensorInput(kind="tensor", name="b", shape=(5,), dtype="bool")
    contract = Contract(inputs=(*IMAGE.inputs, free, whole, flags), outputs=(Output(),))
    made = samples.synthetic(contract, count=3)
    assert len(made) == 3
    assert "noise" in made.origin
    kinds = [(each.shape, str(each.dtype)) for each in made.inputs[0]]
    assert kinds == [((1, 3, 8, 8), "float32"), ((1, 4), "float16"), ((2, 3), "int64"), ((5,), "bool")]
    again = samples.synthetic(contract, count=3)
    for one, other in zip(made.inputs, again.inputs):
        for a, b in zip(one, other):
            np.testing.assert_array_equal(a, b)
    assert made.inputs[0][1].tobytes() != made.inputs[1][1].tobytes()


def test_files_of_suffixes_that_are_not_read_are_named(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    (tmp_path / "cat").mkdir()
    for name in ("b.heic", "cat/c.HEIC", "d.dng", "notes.txt", ".DS_Store", "LICENSE", "boxes.json"):
        (tmp_path / name).write_bytes(b"x")
    found = load(tmp_path, IMAGE)
    assert found.left_out == (
        "2 .heic files, such as b.heic: .heic is not read, convert them",
        "1 .dng files, such as d.dng: .dng is not read, convert them",
    )
    (tmp_path / "a.png").unlink()
    with pytest.raises(SourceError, match=r"holds no images; 2 \.heic files"):
        load(tmp_path, IMAGE)
