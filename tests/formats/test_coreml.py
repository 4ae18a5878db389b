"""Core ML packages: the picture, the labels and the contract are inside. Written here, not run."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import edgepack
from edgepack import formats, plan, target
from edgepack.contract import Contract
from edgepack.errors import BundleError, ExportError
from edgepack.formats import Exported
from edgepack.graph import layers as graph
from edgepack.model import capture, source
from edgepack.model.cache import DerivedCache
from edgepack.options import BuildOptions
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName
from edgepack.silence import quiet

Floats = NDArray[np.float32]
FASHION = Path(__file__).resolve().parent.parent.parent / "examples" / "fashion_mnist"
FEW = 2048
"""Weights that are too few to compress."""

KINDS: dict[SchemeName, dict[int, set[str]]] = {
    "fp32": {17: set()},
    "fp16": {17: set()},
    "w8": {17: {"affine_dequantize"}, 18: {"blockwise_shift_scale"}},
    "w4": {18: {"blockwise_shift_scale"}},
    "w8a8": {17: {"affine_dequantize"}, 18: {"blockwise_shift_scale"}},
    "p8": {17: {"lut_to_dense"}},
    "p6": {17: {"lut_to_dense"}},
    "p4": {17: {"lut_to_dense"}, 18: {"lut_to_dense"}},
    "sparse": {17: {"sparse_to_dense"}, 18: {"sparse_to_dense"}},
    "sparse+p6": {18: {"lut_to_sparse", "sparse_to_dense"}},
}
"""Operators that hold the weights, by scheme and iOS."""


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> source.Source:
    out = str(tmp_path_factory.mktemp("out"))
    return source.load(plan.resolve(BuildOptions(model=str(FASHION), targets=("iphone-15",), out=out)))


@pytest.fixture(scope="module")
def pruned(fashion: source.Source) -> source.Source:
    """The same net, three of four weights of each layer but the classifier zero."""
    return _changed(
        fashion,
        {
            path: np.where(np.abs(weight) >= np.quantile(np.abs(weight), 0.75), weight, 0)
            for path, weight in _float(fashion).items()
            if path != "classifier"
        },
    )


def _changed(given: source.Source, weights: dict[str, Floats]) -> source.Source:
    """`given` with other weights, and with all that was made of it."""
    model = given.exported.module()
    assert isinstance(model, torch.fx.GraphModule)
    nodes = graph.layers(model)
    for path, weight in weights.items():
        node = nodes[path].args[1]
        assert isinstance(node, torch.fx.Node)
        graph.set_constant(model, str(node.target), torch.from_numpy(weight))
    exported = capture.captured(model, given.example)
    return replace(given, exported=exported, free=exported)


def _ios(floor: int) -> target.Target:
    """A target whose oldest iOS is `floor`."""
    phone = target.load("iphone-15")
    return phone.model_copy(update={"os": phone.os.model_copy(update={"floor": str(floor)})})


def _write(given: source.Source, recipe: Recipe, path: Path, floor: int = 17) -> Exported:
    return formats.load("coreml").export(given, recipe, _ios(floor), path)


@pytest.fixture(scope="module")
def packages(
    fashion: source.Source, pruned: source.Source, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[SchemeName, int], Path]:
    """Every scheme for iOS 17, if that carries it, and for iOS 18, if it is another one there."""
    folder = tmp_path_factory.mktemp("packages")
    written: dict[tuple[SchemeName, int], Path] = {}
    for scheme, floors in KINDS.items():
        for floor in floors:
            path = folder / f"net-{scheme}-{floor}.mlpackage"
            _write(pruned if "sparse" in scheme else fashion, Recipe(scheme), path, floor)
            written[scheme, floor] = path
    return written


def _model(path: Path) -> Any:
    with quiet():
        import coremltools

        return coremltools.models.MLModel(str(path), skip_model_load=True)


def _operations(path: Path) -> list[Any]:
    (function,) = _model(path).get_spec().mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    return list(block.operations)


def _read(path: Path) -> dict[str, tuple[Floats, Floats | None]]:
    with quiet():
        import dense

        return dense.read(path)


def _float(given: source.Source) -> dict[str, Floats]:
    model = given.exported.module()
    assert isinstance(model, torch.fx.GraphModule)
    layers = graph.layers(model)
    return {
        path: graph.constant(model, node.args[1]).detach().numpy()  # type: ignore[arg-type]
        for path, node in layers.items()
    }


def _precisions(path: Path) -> dict[str, str]:
    return {layer.name: layer.precision for layer in formats.describe(path).layers}


def test_a_grey_picture_goes_in_and_labels_come_out(packages: dict[tuple[SchemeName, int], Path]) -> None:
    description = _model(packages["fp16", 17]).get_spec().description
    (given,) = description.input
    colours = given.type.imageType.ColorSpace
    assert colours.Name(given.type.imageType.colorSpace) == "GRAYSCALE"
    assert (given.type.imageType.height, given.type.imageType.width) == (28, 28)
    assert description.predictedFeatureName == "classLabel"
    metadata = dict(formats.describe(packages["fp16", 17]).metadata)
    assert metadata["labels"] == "10"


@pytest.mark.parametrize("scheme", ["fp16", "w8", "sparse"])
def test_the_package_carries_its_contract_and_no_date(
    fashion: source.Source, packages: dict[tuple[SchemeName, int], Path], scheme: SchemeName
) -> None:
    told = _model(packages[scheme, 17]).get_spec().description.metadata.userDefined
    found = Contract.model_validate_json(told["edgepack.contract"])
    assert found.inputs == fashion.contract.inputs
    assert (found.outputs[0].activation, fashion.contract.outputs[0].activation) == ("none", "softmax")
    assert not [key for key in told if "date" in key]
    assert json.loads(told["edgepack.contract"])["outputs"][0]["labels"][0] == "T-shirt/top"


def test_it_runs_from_the_targets_ios_on(packages: dict[tuple[SchemeName, int], Path]) -> None:
    """No scheme quietly asks for a later iOS."""
    assert {scheme for scheme, _ in packages} == formats.load("coreml").schemes
    for (scheme, floor), path in packages.items():
        assert _model(path).get_spec().specificationVersion == floor - 9, scheme


def test_every_scheme_is_written_with_operators_of_its_own(
    packages: dict[tuple[SchemeName, int], Path],
) -> None:
    for (scheme, floor), path in packages.items():
        kinds = {each.type for each in _operations(path) if each.type.startswith("constexpr_")}
        assert kinds == {f"constexpr_{kind}" for kind in KINDS[scheme][floor]}, scheme


def test_weights_are_kept_as_the_scheme_says(packages: dict[tuple[SchemeName, int], Path]) -> None:
    """The bytes of the weights shrink in the order of the schemes."""
    kept: dict[tuple[SchemeName, int], str] = {
        ("w8", 17): "int8", ("w8a8", 17): "int8", ("w8", 18): "int8", ("w4", 18): "int4", ("p8", 17): "p8",
        ("p6", 17): "p6", ("p4", 17): "p4", ("p4", 18): "p4", ("sparse", 17): "sparse",
        ("sparse+p6", 18): "sparse p6", ("fp16", 17): "fp16", ("fp32", 17): "fp32",
    }  # fmt: skip
    for (scheme, floor), stored in kept.items():
        assert _precisions(packages[scheme, floor])["blocks.4.pointwise"] == stored, scheme
    sizes = {key: sum(layer.bytes for layer in formats.describe(p).layers) for key, p in packages.items()}
    order: list[tuple[SchemeName, int]] = [
        ("sparse+p6", 18),
        ("p4", 18),
        ("w4", 18),
        ("p6", 17),
        ("w8", 17),
        ("p8", 17),
    ]
    measured = [sizes[key] for key in (*order, ("fp16", 17), ("fp32", 17))]
    assert measured == sorted(measured)
    assert sizes["sparse", 17] < 0.75 * sizes["fp16", 17]
    assert sizes["w8a8", 17] < 0.6 * sizes["fp16", 17]


def test_what_stays_in_float_is_named(
    fashion: source.Source, packages: dict[tuple[SchemeName, int], Path]
) -> None:
    """Layers of fewer than 2,048 weights, by their module paths, whatever the operators are."""
    small = {path for path, weight in _float(fashion).items() if weight.size <= FEW}
    assert small
    for (scheme, floor), path in packages.items():
        described = formats.describe(path)
        if scheme in ("w8", "w4", "p8", "p6", "p4", "sparse+p6"):
            assert set(described.kept_float) == small, (scheme, floor)
            assert described.quantized == pytest.approx(1 - len(small) / 12)
    assert not formats.describe(packages["w8a8", 17]).kept_float, "integer kernels want all of them"
    assert len(formats.describe(packages["fp16", 17]).kept_float) == 12


def test_a_recipe_is_followed_layer_by_layer(fashion: source.Source, tmp_path: Path) -> None:
    layers: dict[str, SchemeName] = {
        "blocks.4": "p8", "blocks.3.pointwise": "fp16", "blocks.2": "fp32", "stem": "w8a8"
    }  # fmt: skip
    path = tmp_path / "mixed.mlpackage"
    _write(fashion, Recipe("p4", layers), path)
    told = _precisions(path)
    floats = _float(fashion)
    assert told["blocks.4.pointwise"] == "p8"
    assert told["blocks.3.pointwise"] == "fp16"
    assert told["blocks.2.pointwise"] == told["blocks.2.depthwise"] == "fp32"
    assert told["stem"] == "int8"
    assert [name for name, kept in told.items() if kept == "p4"] == [
        name for name, weight in floats.items()
        if weight.size > FEW and not name.startswith(("blocks.2", "blocks.3", "blocks.4"))
    ]  # fmt: skip
    read = _read(path)
    assert np.array_equal(read["blocks.2.pointwise"][0], floats["blocks.2.pointwise"])
    assert len(np.unique(read["blocks.4.pointwise"][0])) <= 256


def test_weights_are_read_back_by_module_path(
    fashion: source.Source, packages: dict[tuple[SchemeName, int], Path]
) -> None:
    floats = _float(fashion)
    read = _read(packages["fp32", 17])
    assert {path: weight.tolist() for path, (weight, _) in read.items()} == {
        path: weight.tolist() for path, weight in floats.items()
    }
    assert all(bias is not None and bias.shape == (len(weight),) for weight, bias in read.values())


@pytest.mark.parametrize("floor", [17, 18])
def test_int8_weights_are_within_half_a_step(
    fashion: source.Source, packages: dict[tuple[SchemeName, int], Path], floor: int
) -> None:
    """Half a step of each output channel's own scale, and 16-bit floats' rounding."""
    read = _read(packages["w8a8", floor])
    for path, weight in _float(fashion).items():
        rows = weight.reshape(len(weight), -1)
        step = np.abs(rows).max(axis=1) / 127
        off = np.abs(read[path][0].reshape(rows.shape) - rows).max(axis=1)
        assert (off <= 0.5 * step + 2e-3 * np.abs(rows).max(axis=1)).all(), path
        assert off.max() > 0, path


def test_int4_weights_are_within_half_a_step_of_their_block(
    fashion: source.Source, packages: dict[tuple[SchemeName, int], Path]
) -> None:
    """No block is wider than an output channel, whose largest weight is 7 steps of its own scale."""
    read = _read(packages["w4", 18])
    weight = _float(fashion)["blocks.4.pointwise"]
    rows = weight.reshape(len(weight), -1)
    off = np.abs(read["blocks.4.pointwise"][0].reshape(rows.shape) - rows)
    most = np.abs(rows).max(axis=1, keepdims=True)
    assert (off <= 0.5 * most / 7 * 1.01).all()
    assert (off <= 0.25 * most / 7).mean() > 0.5


@pytest.mark.parametrize(("scheme", "entries"), [("p8", 256), ("p6", 64), ("p4", 16)])
def test_palettes_hold_as_many_values_as_they_may(
    fashion: source.Source, packages: dict[tuple[SchemeName, int], Path], scheme: SchemeName, entries: int
) -> None:
    weight = _float(fashion)["blocks.4.pointwise"]
    read = _read(packages[scheme, 17])["blocks.4.pointwise"][0]
    assert entries // 2 < len(np.unique(read)) <= entries
    assert np.square(read - weight).sum() < np.square(weight).sum() * 4 / entries**2


def test_iphones_from_ios_18_on_have_a_palette_for_each_group_of_channels(
    fashion: source.Source, packages: dict[tuple[SchemeName, int], Path]
) -> None:
    weight = _float(fashion)["blocks.4.pointwise"]
    one, many = (_read(packages["p4", floor])["blocks.4.pointwise"][0] for floor in (17, 18))
    assert len(np.unique(one)) <= 16 < len(np.unique(many))
    assert len(np.unique(many[:16])) <= 16
    assert np.square(many - weight).sum() < 0.95 * np.square(one - weight).sum()


def test_zeros_and_no_others_are_left_out(
    pruned: source.Source, packages: dict[tuple[SchemeName, int], Path]
) -> None:
    floats = _float(pruned)
    near: dict[tuple[SchemeName, int], float] = {
        ("sparse", 17): 1e-3, ("sparse", 18): 1e-3, ("sparse+p6", 18): 0.05
    }  # fmt: skip
    for key, share in near.items():
        for path, (weight, _) in _read(packages[key]).items():
            exact = floats[path]
            assert ((weight == 0) >= (exact == 0)).all(), (key, path)
            assert np.abs(weight - exact).max() < share * np.abs(exact).max(), (key, path)


def test_a_layer_with_few_zeros_is_told(pruned: source.Source, tmp_path: Path) -> None:
    weight = _float(pruned)["blocks.3.pointwise"]
    but_one = _changed(pruned, {"blocks.3.pointwise": weight + np.float32(0.01)})
    path = tmp_path / "net.mlpackage"
    written = _write(but_one, Recipe("sparse"), path, 18)
    assert [note for note in written.notes if note.endswith("stored sparsely: blocks.3.pointwise")]
    assert _precisions(path)["blocks.3.pointwise"] == "fp16"
    written = _write(but_one, Recipe("sparse+p6"), path, 18)
    assert [note for note in written.notes if note.endswith("stored sparsely: blocks.3.pointwise")]
    assert _precisions(path)["blocks.3.pointwise"] == "p6", "the palette alone"


def _pairs(path: Path) -> dict[str, tuple[float, int]]:
    """Scale and zero point by the value that is quantized."""
    model = _model(path)
    with quiet():
        from coremltools.converters.mil.frontend.milproto import load

        spec = model.get_spec()
        program = load.load(spec, spec.specificationVersion, file_weights_dir=model.weights_dir)
    return {
        each.input.name: (float(each.scale.val), int(each.zero_point.val) if each.zero_point else 0)
        for each in program.functions["main"].operations
        if each.op_type == "quantize"
    }


def test_activations_are_quantized_behind_the_clamp(
    fashion: source.Source, packages: dict[tuple[SchemeName, int], Path]
) -> None:
    """What each layer reads and gives, but the answer: the input, 11 relus and what the classifier reads."""
    pairs = _pairs(packages["w8a8", 17])
    assert len(pairs) == 13
    assert not [name for name in pairs if name.startswith(("stem", "blocks"))], "a relu comes first"
    operations = _operations(packages["w8a8", 17])
    kinds = {each.outputs[0].name: each.type for each in operations}
    for each in operations:
        if each.type in ("conv", "linear"):
            assert kinds[each.inputs["x"].arguments[0].name] == "dequantize"
            assert kinds[each.inputs["weight"].arguments[0].name].startswith("constexpr_")


def test_activations_have_the_sources_ranges(fashion: source.Source, tmp_path: Path) -> None:
    """One that the source does not know stays in float and is told."""
    nodes = [node for node in fashion.exported.module().graph.nodes if node.op != "get_attr"]
    ranges = {node.name: (-1.0, 4.1) for node in nodes if node.name != "relu_3"}
    path = tmp_path / "net.mlpackage"
    written = _write(replace(fashion, ranges=ranges), Recipe("w8a8"), path)
    assert [note for note in written.notes if note.endswith("stay in float: relu_3")]
    pairs = _pairs(path)
    assert len(pairs) == 12
    for scale, zero in pairs.values():
        assert scale == pytest.approx(5.1 / 255, rel=1e-3)
        assert zero == 50


def test_one_conversion_serves_all_recipes(fashion: source.Source, tmp_path: Path) -> None:
    """The float base is made once, and no compression changes it."""
    own = replace(fashion, cache=DerivedCache())
    _write(own, Recipe("fp16"), tmp_path / "before.mlpackage")
    kept = dict(own.cache.entries)
    for scheme in ("p4", "w8a8"):
        _write(own, Recipe(scheme), tmp_path / f"{scheme}.mlpackage")
    _write(own, Recipe("fp16"), tmp_path / "after.mlpackage")
    assert len(kept) == 1
    assert own.cache.entries == kept
    assert _same(tmp_path / "before.mlpackage", tmp_path / "after.mlpackage")
    _write(own, Recipe("fp32"), tmp_path / "wide.mlpackage")
    assert len(own.cache.entries) == 2, "another precision is another conversion"


def test_a_repaired_source_is_converted_anew(fashion: source.Source, tmp_path: Path) -> None:
    """Even if it came with what the other left."""
    other = _changed(fashion, {"stem": 2 * _float(fashion)["stem"]})
    _write(fashion, Recipe("fp32"), tmp_path / "net.mlpackage")
    _write(other, Recipe("fp32"), tmp_path / "twice.mlpackage")
    once, twice = (_read(tmp_path / f"{name}.mlpackage")["stem"][0] for name in ("net", "twice"))
    assert np.array_equal(twice, 2 * once)


ANEW = """
import sys
from pathlib import Path
from edgepack import formats, plan, target
from edgepack.model import capture, source
from edgepack.model.cache import DerivedCache
from edgepack.options import BuildOptions
from edgepack.recipe import Recipe

_, model, out = sys.argv
phone = target.load("iphone-15")
loaded = source.load(plan.resolve(BuildOptions(model=model, targets=("iphone-15",), out=out)))
for scheme in ("p6", "w8a8"):
    formats.load("coreml").export(loaded, Recipe(scheme), phone, Path(out) / f"net-{scheme}-17.mlpackage")
"""


def test_the_same_recipe_gives_the_same_bytes(
    packages: dict[tuple[SchemeName, int], Path], tmp_path: Path
) -> None:
    """In another process, with other hash seeds; and to open a package changes nothing in it."""
    command = [sys.executable, "-c", ANEW, str(FASHION), str(tmp_path)]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "1"}, check=True, capture_output=True)
    for scheme in ("p6", "w8a8"):
        assert _model(packages[scheme, 17])
        assert _same(packages[scheme, 17], tmp_path / f"net-{scheme}-17.mlpackage")


def _same(one: Path, other: Path) -> bool:
    """Whether the files of two packages are the same bytes."""
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    assert len(files) == 3
    return all(filecmp.cmp(one / each, other / each, shallow=False) for each in files)


@pytest.mark.parametrize(
    ("scheme", "floor", "sentence"),
    [("w4", 17, "from iOS 18 on"), ("sparse+p6", 17, "from iOS 18 on"), ("w8a8", 16, "from iOS 17 on")],
)
def test_what_an_older_ios_cannot_read_is_refused(
    fashion: source.Source, tmp_path: Path, scheme: SchemeName, floor: int, sentence: str
) -> None:
    for recipe in (Recipe(scheme), Recipe("fp16", {"stem": scheme})):
        with pytest.raises(ExportError, match=sentence) as raised:
            _write(fashion, recipe, tmp_path / "net.mlpackage", floor)
        assert "p6" in raised.value.hint
    assert not list(tmp_path.iterdir())


def test_sparse_weights_without_zeros_are_refused(fashion: source.Source, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="none has enough zeros"):
        _write(fashion, Recipe("sparse"), tmp_path / "net.mlpackage")


def test_activations_want_samples(fashion: source.Source, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="samples"):
        _write(replace(fashion, calib=None, ranges={}), Recipe("w8a8"), tmp_path / "net.mlpackage")


def test_weights_of_a_damaged_or_a_foreign_package(
    packages: dict[tuple[SchemeName, int], Path], tmp_path: Path
) -> None:
    damaged = Path(shutil.copytree(packages["p6", 17], tmp_path / "damaged.mlpackage"))
    (file,) = damaged.rglob("*.bin")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BundleError, match="damaged"):
        _read(damaged)
    foreign = _model(packages["p6", 17])
    del foreign.user_defined_metadata["edgepack.layers"]
    foreign.save(str(tmp_path / "foreign.mlpackage"))
    with pytest.raises(BundleError, match="only edgepack's own"):
        _read(tmp_path / "foreign.mlpackage")


def test_every_value_has_the_name_of_its_node(packages: dict[tuple[SchemeName, int], Path]) -> None:
    """So that ranges and layers are found again."""
    names = Counter(each.outputs[0].name for each in _operations(packages["fp16", 17]))
    assert names["T_relu_cast_fp16"] == 0
    assert names["relu_3_cast_fp16"] == names["blocks_4_pointwise_cast_fp16"] == 1


_LOGS = """
import torch

class Logs(torch.nn.Module):
    def forward(self, x):
        return torch.log_softmax(x * 4, dim=1)

def net():
    return Logs()
"""


def test_a_log_softmax_keeps_scores_that_fp16_would_lose(tmp_path: Path) -> None:
    """exp(-40) is no 16-bit float, -40 is: coremltools' own lowering gives -inf or a floor instead."""
    (tmp_path / "logs.py").write_text(_LOGS)
    scores = np.asarray([[0, -1, -5, -10], [3, -7, 0, 1]], np.float32)
    np.savez(tmp_path / "scores", inputs=scores)
    given = source.load(
        plan.resolve(
            BuildOptions(
                model=f"{tmp_path / 'logs.py'}:net",
                targets=("iphone-15",),
                inputs=("tensor:1x4",),
                eval=str(tmp_path / "scores.npz"),
                out=str(tmp_path / "out"),
            )
        )
    )
    path = tmp_path / "logs.mlpackage"
    _write(given, Recipe("fp16"), path)
    runner = formats.load("coreml").load(path)
    answers = [runner(sample)[0] for sample in given.evaluation.inputs]
    floats = torch.log_softmax(torch.from_numpy(scores) * 4, dim=1).numpy()
    assert np.allclose(np.concatenate(answers), floats, rtol=2e-3, atol=2e-3)


_MEMORY = """
import torch

class Memory(torch.nn.Module):
    def forward(self, string, state):
        return string + state, state * 2

def net():
    return Memory()
"""
_NAMED = """
[model]
source = "memory.py:net"
[[input]]
kind = "tensor"
name = "string"
shape = [1, 4]
[[input]]
kind = "tensor"
name = "state"
shape = [1, 4]
"""


def test_features_whose_names_core_ml_reserves_are_found_and_told(tmp_path: Path) -> None:
    (tmp_path / "memory.py").write_text(_MEMORY)
    (tmp_path / "edgepack.toml").write_text(_NAMED)
    choices = BuildOptions(model=str(tmp_path), targets=("iphone-15",), out=str(tmp_path / "out"))
    given = source.load(plan.resolve(choices))
    path = tmp_path / "memory.mlpackage"
    (note,) = _write(given, Recipe("fp32"), path).notes
    assert "'state' is called 'state_workaround'" in note
    runner = formats.load("coreml").load(path)
    for sample, floats in zip(given.evaluation.inputs, given.reference):
        for ours, theirs in zip(runner(sample), floats, strict=True):
            assert np.allclose(ours, theirs)


PLACES = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.places = nn.Parameter(torch.randn(1, 40, 64))
        self.layer = nn.Linear(64, 64)

    def forward(self, x):
        return self.layer(x + self.places)


def net():
    torch.manual_seed(0)
    return Net().eval()
"""


def test_a_table_that_is_added_is_no_weight(tmp_path: Path) -> None:
    """Its first axis is no axis of channels: in int8 it would have one scale."""
    (tmp_path / "net.py").write_text(PLACES)
    options = BuildOptions(
        model=f"{tmp_path / 'net.py'}:net",
        inputs=("tensor:1x40x64",),
        targets=("iphone-15",),
        out=str(tmp_path / "out"),
    )
    path = tmp_path / "net.mlpackage"
    _write(source.load(plan.resolve(options)), Recipe("w8"), path)
    found = {each.operator: each.precision for each in formats.describe(path).layers}
    assert found["linear"] == "int8"
    assert found["add"] == "fp16"


def test_labels_of_one_output_of_several_are_in_the_contract_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import torch\n\n\nclass Two(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        torch.manual_seed(0)\n        self.scores = torch.nn.Linear(8, 3)\n\n"
        "    def forward(self, x):\n        found = self.scores(x)\n        return found, found.softmax(1)\n"
    )
    (tmp_path / "two.py").write_text(code)
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\n")
    monkeypatch.chdir(tmp_path)
    (report,) = edgepack.build(
        "two.py:Two",
        targets=["iphone-15"],
        formats=["coreml"],
        inputs=["tensor:1x8"],
        labels="labels.txt",
        scheme="fp16",
        emulator=False,
        out="out",
    )
    (artifact,) = report.artifacts
    assert artifact.verdict != "fail"
    assert len(artifact.figures.outputs) == 2
    assert any("a classifier of Core ML has one output" in note for note in artifact.notes)
