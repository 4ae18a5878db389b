"""Pre-processing in the graph: it takes 8-bit images and returns scores, in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import edgepack
from edgepack import bundle, formats, plan
from edgepack.compress import ptq
from edgepack.compress.calibration import Calibration
from edgepack.contract import Contract, ImageInput, Output, TensorInput
from edgepack.contract.preprocess import prepare
from edgepack.errors import SourceError
from edgepack.model import graph_preprocessing, inference, source
from edgepack.options import BuildOptions
from edgepack.recipe import Recipe
from edgepack.report import Report

ALL_FORMATS = Path(__file__).parent.parent / "data" / "all-formats.toml"
CLASSES = Output(kind="classification", activation="softmax")


def image(**keys: object) -> ImageInput:
    return ImageInput.model_validate({"kind": "image", "size": [9, 7], "resize_to": 12, **keys})


@pytest.mark.parametrize("channels", ["RGB", "BGR", "L"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_graph_makes_of_8_bits_what_an_app_would(channels: str, layout: str) -> None:
    depth = 1 if channels == "L" else 3
    scaled = {"mean": [0.4, 0.5, 0.6][:depth], "std": [0.2, 0.3, 0.4][:depth], "value_range": [-1.0, 1.0]}
    given = image(channels=channels, layout=layout, **scaled)
    graph, contract = graph_preprocessing.moved_into_graph(Contract(inputs=(given,), outputs=(CLASSES,)))
    assert contract.image is not None
    assert contract.image.shape == (1, 9, 7, depth)
    picture = np.random.default_rng(0).integers(0, 256, (31, 20, 3), dtype=np.uint8)
    pixels = torch.from_numpy(prepare(picture, contract.image))
    assert pixels.dtype is torch.uint8
    # one rounding of floats more than in an app's table
    np.testing.assert_allclose(graph.before(pixels).numpy(), prepare(picture, given), atol=2e-6)


def test_the_contract_asks_the_app_for_nothing_that_is_in_the_graph() -> None:
    made = Contract(
        inputs=(image(mean=[0.1, 0.2, 0.3]),), outputs=(CLASSES, Output(name="b", activation="sigmoid"))
    )
    graph, contract = graph_preprocessing.moved_into_graph(made)
    assert [each.activation for each in contract.outputs] == ["none", "sigmoid"]
    assert contract.image is not None
    assert (contract.image.mean, contract.image.std, contract.image.dtype) == ((), (), "uint8")
    assert (contract.image.resize, contract.image.resize_to) == ("shorter-side", 12)
    scores, other = torch.tensor([[1.0, 2.0]]), torch.tensor([3.0])
    torch.testing.assert_close(graph.after((scores, other))[0].sum(), torch.tensor(1.0))
    assert graph.after((scores, other))[1] is other


@pytest.mark.parametrize(
    "given", [TensorInput(kind="tensor", shape=(1, 3)), image(dtype="uint8", layout="NHWC")]
)
def test_what_is_no_image_of_floats_is_refused(given: ImageInput | TensorInput) -> None:
    with pytest.raises(SourceError, match="takes one image, as floats"):
        graph_preprocessing.moved_into_graph(Contract(inputs=(given,), outputs=(CLASSES,)))


@pytest.fixture(scope="module")
def built(small_fashion: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """The example's network in float, in all formats, its pre-processing in the graph."""
    out = tmp_path_factory.mktemp("baked")
    (report,) = edgepack.build(
        str(small_fashion), targets=[str(ALL_FORMATS)], scheme="fp32", out=str(out), bake_preprocessing=True
    )
    return out / "all-formats", report


def test_every_format_carries_it_and_returns_the_same(built: tuple[Path, Report]) -> None:
    folder, report = built
    assert {each.format for each in report.artifacts} == {"onnx", "executorch", "coreml", "torchscript"}
    for each in report.artifacts:
        assert each.figures.agreement == 100, each.file
        described = formats.describe(folder / each.file)
        wanted = {"image GRAYSCALE"} if each.format == "coreml" else {"uint8", "Tensor"}
        assert described.inputs[0].dtype in wanted, each.file


def test_the_golden_inputs_are_images_and_the_outputs_scores(built: tuple[Path, Report]) -> None:
    inputs = np.load(built[0] / "golden" / "inputs_0.npy")
    assert (inputs.dtype, inputs.shape[1:]) == (np.uint8, (1, 28, 28, 1))
    np.testing.assert_allclose(np.load(built[0] / "golden" / "outputs_0.npy").sum(axis=-1), 1, atol=1e-5)


def test_each_file_says_so_itself(built: tuple[Path, Report]) -> None:
    folder, report = built
    _, _, contract = bundle.open_bundle(folder)
    assert contract.image is not None
    assert contract.image.dtype == "uint8"
    for each in report.artifacts:
        assert formats.describe(folder / each.file).contract == contract, each.file


def test_corrections_are_judged_before_the_activation(small_fashion: Path, tmp_path: Path) -> None:
    """Probabilities near 0 and 1 hardly change, so metrics of probabilities would hide errors of int8."""

    def measured(baked: bool, argmax: bool = False) -> float:
        targets, out = ("raspberry-pi-5",), str(tmp_path / "out")
        choices = BuildOptions(
            model=str(small_fashion), targets=targets, out=out, bake_preprocessing=baked, bake_argmax=argmax
        )
        with inference.one_thread():
            return ptq.score(Calibration(source.load(plan.resolve(choices))), Recipe("w8a8")).ranking_db

    plain = measured(baked=False)
    assert measured(baked=True) == pytest.approx(plain, abs=1.5)
    assert measured(baked=True, argmax=True) == pytest.approx(plain, abs=1.5)
