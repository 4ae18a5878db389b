"""Core ML packages: the picture, the labels and the contract are inside. Written here, not run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgepack import formats, plan, source, target
from edgepack.contract import Contract
from edgepack.quiet import quiet
from edgepack.recipe import Recipe, Scheme

FASHION = Path(__file__).resolve().parent.parent.parent / "examples" / "fashion_mnist"


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> source.Source:
    out = str(tmp_path_factory.mktemp("out"))
    return source.load(plan.resolve(plan.Choices(model=str(FASHION), targets=("iphone-15",), out=out)))


@pytest.fixture(scope="module")
def packages(fashion: source.Source, tmp_path_factory: pytest.TempPathFactory) -> dict[Scheme, Path]:
    folder = tmp_path_factory.mktemp("packages")
    written: dict[Scheme, Path] = {}
    for scheme in sorted(formats.load("coreml").SCHEMES):
        written[scheme] = folder / f"net-{scheme}.mlpackage"
        formats.load("coreml").export(fashion, Recipe(scheme), target.load("iphone-15"), written[scheme])
    return written


def _spec(path: Path) -> Any:
    with quiet():
        import coremltools

        return coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()


def test_a_grey_picture_goes_in_and_labels_come_out(packages: dict[Scheme, Path]) -> None:
    description = _spec(packages["fp16"]).description
    (given,) = description.input
    colours = given.type.imageType.ColorSpace
    assert colours.Name(given.type.imageType.colorSpace) == "GRAYSCALE"
    assert (given.type.imageType.height, given.type.imageType.width) == (28, 28)
    assert description.predictedFeatureName == "classLabel"
    metadata = dict(formats.describe(packages["fp16"]).metadata)
    assert metadata["labels"] == "10"


def test_the_package_carries_its_contract_and_no_date(
    fashion: source.Source, packages: dict[Scheme, Path]
) -> None:
    told = _spec(packages["w8"]).description.metadata.userDefined
    assert Contract.model_validate_json(told["edgepack.contract"]) == fashion.contract
    assert not [key for key in told if "date" in key]
    assert json.loads(told["edgepack.contract"])["outputs"][0]["labels"][0] == "T-shirt/top"


def test_it_runs_from_the_targets_ios_on(packages: dict[Scheme, Path]) -> None:
    assert _spec(packages["fp16"]).specificationVersion == 8, "iOS 17"


def test_weights_are_kept_as_the_scheme_says(packages: dict[Scheme, Path]) -> None:
    precisions = {
        scheme: {layer.precision for layer in formats.describe(path).layers}
        for scheme, path in packages.items()
    }
    assert "int8" in precisions["w8"]
    assert "p6" in precisions["p6"]
    assert precisions["fp16"] <= {"fp16", "int32"}
    assert "fp32" in precisions["fp32"]
    sizes = {s: sum(layer.bytes for layer in formats.describe(p).layers) for s, p in packages.items()}
    assert sizes["p6"] < sizes["w8"] < sizes["fp16"] < sizes["fp32"]


def test_what_stays_in_float_is_named(packages: dict[Scheme, Path]) -> None:
    """Weights of fewer than 2,048 values stay, as coremltools advises."""
    described = formats.describe(packages["w8"])
    assert described.kept_float
    assert described.quantized is not None
    assert 0 < described.quantized < 1
