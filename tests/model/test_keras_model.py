"""Models of Keras 3 on its torch backend: outputs as Keras gives them, inputs as Keras declares them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_models import load, refused, work_folder

from edgepack.model import keras_model
from edgepack.model.inference import tensors
from edgepack.silence import quiet

os.environ["KERAS_BACKEND"] = "torch"
with quiet():
    keras: Any = pytest.importorskip("keras")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    keras.utils.set_random_seed(0)
    with quiet():
        yield work_folder(tmp_path, monkeypatch)


def convolutional() -> Any:
    layers = keras.layers
    photo = keras.Input((16, 12, 3), name="photo")
    x = layers.Conv2D(8, 3, 2, padding="same", activation="relu")(photo)
    x = layers.BatchNormalization()(x)
    x = layers.SeparableConv2D(12, 3, padding="same")(x)
    x = layers.Dropout(0.5)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(photo, layers.Dense(5, activation="softmax", name="scores")(x))


def test_a_keras_file_gives_keras_s_outputs(folder: Path) -> None:
    model = convolutional()
    model.save("net.keras")
    found = load("net.keras", ())
    (taken,) = found.contract.inputs
    assert (taken.name, taken.shape) == ("photo", (1, 16, 12, 3))
    assert [each.name for each in found.contract.outputs] == ["scores"]
    for sample, outputs in zip(found.evaluation.inputs, found.reference):
        np.testing.assert_allclose(outputs[0], model.predict(sample[0], verbose=0), atol=1e-5)
        (again,) = found.exported.module()(*tensors(sample))
        np.testing.assert_allclose(again.detach().numpy(), outputs[0], atol=1e-5)


def test_several_inputs_and_outputs_in_a_dict(folder: Path) -> None:
    left, right = keras.Input((4,), name="left"), keras.Input((3,), name="right", dtype="int32")
    both = keras.layers.Concatenate()([left, keras.ops.cast(right, "float32")])
    heads = [keras.layers.Dense(2, name="a")(both), keras.layers.Dense(1, name="b")(both)]
    model = keras.Model({"right": right, "left": left}, heads)
    model.save("net.keras")
    found = load("net.keras", ())
    given = {each.name: values for each, values in zip(found.contract.inputs, found.evaluation.inputs[0])}
    wanted = model.predict(given, verbose=0)
    assert {each.name for each in found.contract.outputs} == {"a", "b"}
    for outputs, own in zip(found.reference[0], wanted):
        np.testing.assert_allclose(outputs, own, atol=1e-5)


def test_a_python_file_that_returns_a_keras_model_and_an_image(folder: Path) -> None:
    convolutional().save("net.keras")
    (folder / "own.py").write_text(
        "import keras\ndef net():\n    return keras.saving.load_model('net.keras')\n"
    )
    found = load("own.py:net", ("photo=image:16x12",))
    (taken,) = found.contract.inputs
    assert taken.shape == (1, 16, 12, 3)
    np.testing.assert_allclose(
        found.reference[0][0], convolutional_outputs(found.evaluation.inputs[0][0]), atol=1e-5
    )


def convolutional_outputs(image: Any) -> Any:
    return keras.saving.load_model("net.keras").predict(image, verbose=0)


def test_free_sizes_have_names() -> None:
    model = keras.Sequential([keras.Input((None, None, 3), name="photo"), keras.layers.Conv2D(2, 3)])
    found = keras_model.loaded("net", model)
    assert found.inputs[0]["shape"] == [1, "height", "width", 3]
    photo = np.random.default_rng(0).standard_normal((1, 8, 9, 3)).astype("f4")
    with torch.no_grad():
        own = found.module(torch.from_numpy(photo)).numpy()
    np.testing.assert_allclose(own, model.predict(photo, verbose=0), atol=1e-5)


def test_files_that_keras_cannot_load(folder: Path) -> None:
    (folder / "bad.keras").write_bytes(b"no zip")
    assert "Keras cannot load bad.keras" in refused(model="bad.keras", inputs=())
    code = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x + 1)])
    code.save("code.keras")
    said = refused(model="code.keras", inputs=())
    assert "Keras cannot load code.keras" in said
    assert "file.py:name" in said
    keras.Sequential([keras.layers.Dense(2)]).save("unbuilt.keras")
    assert "has not been built" in refused(model="unbuilt.keras", inputs=())
