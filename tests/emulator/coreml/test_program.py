"""Whole programs: branches, loops, lists, states, functions, shapes, pictures, labels, and refusals."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from programs import read, written
from torch import Tensor, nn

from edgepack.errors import BundleError
from edgepack.silence import quiet

with quiet():
    import coremltools as ct
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import types
    from coremltools.proto import Model_pb2

    from edgepack.emulator import coreml


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


def _placeholder(*shape: int, dtype: Any = types.fp32) -> Any:
    return mb.placeholder(shape=shape, dtype=dtype)


def _converted(
    net: nn.Module, path: Path, inputs: list[Any], example: Tensor, **options: Any
) -> coreml.Program:
    """A module converted in fp32, and read back."""
    options = {
        "minimum_deployment_target": ct.target.iOS16,
        "compute_precision": ct.precision.FLOAT32,
        **options,
    }
    script = torch.jit.trace(net.eval(), example)
    ct.convert(script, inputs=inputs, convert_to="mlprogram", skip_model_load=True, **options).save(str(path))
    return coreml.read(path)


def test_a_branch_is_taken() -> None:
    def body(x: Any) -> Any:
        positive = mb.greater(x=mb.reduce_sum(x=x, axes=[0], keep_dims=False), y=np.float32(0))
        return mb.cond(pred=positive, _true_fn=lambda: mb.add(x=x, y=x), _false_fn=lambda: mb.abs(x=x))

    program = read(body, {"x": _placeholder(2)})
    for x, expected in (([1, 2], [2, 4]), ([-1, -2], [1, 2])):
        (ours,) = program.run({"x": np.array(x, np.float32)}).values()
        assert ours.tolist() == expected


def test_a_loop_in_a_loop_reads_what_is_outside() -> None:
    def inner(i: Any, total: Any, x: Any) -> Any:
        return mb.while_loop(
            _cond=lambda j, _: mb.less(x=j, y=i),
            _body=lambda j, y: (mb.add(x=j, y=np.int32(1)), mb.add(x=y, y=x)),
            loop_vars=(np.int32(0), total),
        )[1]

    def body(x: Any) -> Any:
        return mb.while_loop(
            _cond=lambda i, _: mb.less(x=i, y=np.int32(4)),
            _body=lambda i, y: (mb.add(x=i, y=np.int32(1)), inner(i, y, x)),
            loop_vars=(np.int32(0), mb.mul(x=x, y=np.float32(0))),
        )[1]

    (ours,) = read(body, {"x": _placeholder(2)}).run({"x": np.array([1, -2], np.float32)}).values()
    assert ours.tolist() == [6, -12]


def test_lists_grow_and_are_read() -> None:
    def body(x: Any) -> Any:
        held = mb.make_list(init_length=1, dynamic_length=True, elem_shape=(np.int32(2),), dtype="fp32")
        held = mb.list_write(ls=held, index=np.int32(2), value=x)
        held = mb.list_scatter(
            ls=held, indices=np.array([0, 1], np.int32), value=mb.stack(values=[x, x], axis=0)
        )
        held = mb.list_write(ls=held, index=np.int32(1), value=mb.mul(x=x, y=np.float32(3)))
        taken = mb.list_gather(ls=held, indices=np.array([2, 1], np.int32))
        return (
            taken,
            mb.list_read(ls=held, index=np.int32(1)),
            mb.expand_dims(x=mb.list_length(ls=held), axes=[0]),
        )

    taken, second, length = (
        read(body, {"x": _placeholder(2)}).run({"x": np.array([1, 2], np.float32)}).values()
    )
    assert taken.tolist() == [[1, 2], [3, 6]]
    assert second.tolist() == [3, 6]
    assert length.tolist() == [3]


def test_select() -> None:
    def body(x: Any) -> Any:
        return mb.select(cond=mb.greater(x=x, y=np.float32(0)), a=x, b=np.zeros((2, 1), np.float32))

    (ours,) = read(body, {"x": _placeholder(3)}).run({"x": np.array([1, -1, 2], np.float32)}).values()
    assert ours.tolist() == [[1, 0, 2]] * 2


@pytest.mark.parametrize(("dtype", "low", "high"), [("int8", -128, 127), ("uint8", 0, 255)])
def test_activations_in_8_bits(dtype: str, low: int, high: int) -> None:
    x = np.array([[-100, -0.125, 0.375], [0.1, 0.5, 100]], np.float32)
    scale, zero = np.array([0.25, 0.5], np.float32), np.array([3, 4], dtype)

    def body(x: Any) -> Any:
        given = {"scale": scale, "zero_point": zero, "axis": 0}
        codes = mb.quantize(input=x, output_dtype=dtype, **given)
        return mb.cast(x=codes, dtype="int32"), mb.dequantize(input=codes, **given)

    codes, back = read(body, {"x": _placeholder(2, 3)}, 17).run({"x": x}).values()
    expected = np.clip(np.round(x / scale[:, None]) + zero[:, None].astype(int), low, high)
    assert np.array_equal(codes, expected)
    assert np.array_equal(back, (expected - zero[:, None].astype(int)) * scale[:, None])


def test_a_result_is_rounded_to_16_bits_where_the_program_says_so() -> None:
    def body(x: Any) -> Any:
        half = mb.cast(x=x, dtype="fp16")
        return mb.cast(x=mb.mul(x=half, y=half), dtype="fp32")

    seen: dict[str, Tensor] = {}
    x = np.array([0.1, 300, 1e-5], np.float32)
    program = read(body, {"x": _placeholder(3)})
    (ours,) = program.run({"x": x}, watch=lambda name, value: seen.__setitem__(name, value)).values()
    half = x.astype(np.float16)
    with np.errstate(over="ignore"):
        assert np.array_equal(ours, (half * half).astype(np.float32))
    assert np.isinf(ours[1])
    assert len(seen) == 4, "the input and three results"
    assert seen["x"].tolist() == x.tolist()


class _Counter(nn.Module):
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(1, 2, dtype=torch.float16))

    def forward(self, x: Tensor) -> Tensor:
        self.total.add_(x)
        return self.total * 2


def test_a_state_is_kept_from_run_to_run(tmp_path: Path) -> None:
    state = ct.StateType(wrapped_type=ct.TensorType(shape=(1, 2), dtype=np.float16), name="total")
    options = {"minimum_deployment_target": ct.target.iOS18, "compute_precision": ct.precision.FLOAT16}
    given = [ct.TensorType(name="x", shape=(1, 2), dtype=np.float16)]
    path = tmp_path / "net.mlpackage"
    example = torch.zeros(1, 2, dtype=torch.float16)
    program = _converted(_Counter(), path, given, example, states=[state], **options)
    x, kept, other = {"x": np.array([[1, 2]], np.float16)}, program.fresh_state(), program.fresh_state()
    answers = [next(iter(program.run(x, state=each).values())).tolist() for each in (kept, kept, other)]
    assert answers == [[[2, 4]], [[4, 8]], [[2, 4]]]
    assert kept["total"].tolist() == [[2, 4]]
    with pytest.raises(BundleError, match="has states"):
        program.run(x)


def test_functions_are_run_by_name(tmp_path: Path) -> None:
    for name, factor in (("twice", 2), ("thrice", 3)):
        written(
            lambda x, f=factor: mb.mul(x=x, y=np.float32(f)),
            {"x": _placeholder(2)},
            18,
            tmp_path / f"{name}.mlpackage",
        )
    both = ct.utils.MultiFunctionDescriptor()
    for name in ("twice", "thrice"):
        both.add_function(str(tmp_path / f"{name}.mlpackage"), "main", name)
    both.default_function_name = "thrice"
    ct.utils.save_multifunction(both, str(tmp_path / "both.mlpackage"))
    program = coreml.read(tmp_path / "both.mlpackage")
    x = {"x": np.array([1, 2], np.float32)}
    told = [next(iter(program.run(x, name).values())).tolist() for name in ("twice", "thrice", "")]
    assert told == [[2, 4], [3, 6], [3, 6]]
    with pytest.raises(BundleError, match="there is no function 'four'; there are"):
        program.run(x, "four")


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, 2)
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.interpolate(self.conv(x), scale_factor=2.0)
        logits: Tensor = self.out(torch.flatten(x.mean((2, 3)), 1))
        return logits


@pytest.mark.parametrize(
    ("shape", "fits", "too_large"),
    [
        (ct.Shape((1, 3, ct.RangeDim(8, 20, default=8), 8)), [(1, 3, 8, 8), (1, 3, 15, 8)], "8..20"),
        (ct.EnumeratedShapes([[1, 3, 8, 8], [1, 3, 12, 10]]), [(1, 3, 8, 8), (1, 3, 12, 10)], "12 × 10"),
    ],
)
def test_shapes_may_differ_from_run_to_run(
    tmp_path: Path, shape: Any, fits: list[tuple[int, ...]], too_large: str
) -> None:
    net, given = _Net(), [ct.TensorType(name="x", shape=shape)]
    program = _converted(net, tmp_path / "net.mlpackage", given, torch.zeros(1, 3, 8, 8))
    for size in fits:
        x = np.random.default_rng(0).standard_normal(size).astype(np.float32)
        (ours,) = program.run({"x": x}).values()
        np.testing.assert_allclose(ours, net(torch.from_numpy(x)).detach(), atol=1e-5)
    with pytest.raises(BundleError, match=rf"input 'x' takes .*{too_large}.*, not 1 × 3 × 30 × 8"):
        program.run({"x": np.zeros((1, 3, 30, 8), np.float32)})


@pytest.mark.parametrize("layout", ["RGB", "BGR", "GRAYSCALE"])
def test_a_picture_goes_in_and_labels_with_scores_come_out(tmp_path: Path, layout: str) -> None:
    planes = 1 if layout == "GRAYSCALE" else 3
    conv = nn.Conv2d(planes, 3, 8)
    net = nn.Sequential(conv, nn.Flatten(), nn.Softmax(-1))
    torch.manual_seed(0)
    nn.init.normal_(conv.weight)
    scale, bias = 1 / 64, [-1.0] if planes == 1 else [-1.0, -1.5, -2.0]
    picture = ct.ImageType(
        name="picture", shape=(1, planes, 8, 8), scale=scale, bias=bias[0] if planes == 1 else bias,
        color_layout=getattr(ct.colorlayout, layout),
    )  # fmt: skip
    labels = ["cat", "dog", "bird"]
    program = _converted(
        net, tmp_path / "net.mlpackage", [picture], torch.zeros(1, planes, 8, 8),
        classifier_config=ct.ClassifierConfig(labels),
    )  # fmt: skip
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    given = Image.fromarray(pixels).convert("L" if planes == 1 else "RGB")
    told = np.asarray(given, np.float32).reshape(8, 8, planes).transpose(2, 0, 1)[None]
    fed = told[:, ::-1] if layout == "BGR" else told
    expected = net(torch.from_numpy(fed * scale + np.array(bias, np.float32).reshape(1, -1, 1, 1)))[
        0
    ].tolist()
    answer = program.run({"picture": given})
    assert answer["classLabel"] == labels[int(np.argmax(expected))]
    (scores,) = (each for each in answer.values() if isinstance(each, dict))
    assert scores == pytest.approx(dict(zip(labels, expected)), abs=1e-5)
    with pytest.raises(BundleError, match="takes 8 × 8, not 8 × 9"):
        program.run({"picture": Image.new("RGB", (9, 8))})
    with pytest.raises(BundleError, match="takes a PIL image, not ndarray"):
        program.run({"picture": fed})


def test_a_picture_comes_out(tmp_path: Path) -> None:
    layout = ct.colorlayout.BGR
    picture = ct.ImageType(name="x", shape=(1, 3, 2, 4), color_layout=layout)
    path = tmp_path / "net.mlpackage"
    answer = [ct.ImageType(name="y", color_layout=layout)]
    kept = nn.Sequential(nn.Hardtanh(0.0, 1000.0), nn.Threshold(100.0, 0.0))
    program = _converted(kept, path, [picture], torch.zeros(1, 3, 2, 4), outputs=answer)
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10
    ours = program.run({"x": Image.fromarray(pixels)})["y"]
    assert np.array_equal(np.asarray(ours), np.where(pixels > 100, pixels, 0))


def test_an_input_that_may_be_left_out_has_its_default(tmp_path: Path) -> None:
    given = [ct.TensorType(name="x", shape=(2,), default_value=np.full(2, 3, np.float32))]
    program = _converted(nn.ReLU(), tmp_path / "net.mlpackage", given, torch.zeros(2))
    assert next(iter(program.run({}).values())).tolist() == [3, 3]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program of one addition."""
    path = tmp_path_factory.mktemp("plain") / "net.mlpackage"
    written(lambda x: mb.add(x=x, y=x, name="sum"), {"x": _placeholder(2)}, 15, path)
    return path


def _changed(plain: Path, folder: Path, kind: str) -> Path:
    """A copy whose addition is of another kind."""
    path = Path(shutil.copytree(plain, folder / "changed.mlpackage"))
    where = next(path.rglob("*.mlmodel"))
    spec = Model_pb2.Model.FromString(where.read_bytes())
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    next(each for each in block.operations if each.type == "add").type = kind
    where.write_bytes(spec.SerializeToString())
    return path


def test_inputs_that_do_not_fit_are_refused(plain: Path) -> None:
    program = coreml.read(plain)
    x = np.zeros(2, np.float32)
    for inputs, told in (
        ({}, "input 'x' of 'main' is missing"),
        ({"x": x, "y": x}, "'main' has no input y"),
        ({"x": "text"}, "takes an array of numbers"),
        ({"x": np.zeros(3)}, "input 'x' takes 2, not 3"),
    ):
        with pytest.raises(BundleError, match=told):
            program.run(inputs)


def test_an_operation_that_is_not_known_is_named_with_its_place(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match="operation 'teleport' is not known; 'sum' of function 'main' is one"
    ):
        coreml.read(_changed(plain, tmp_path, "teleport"))


def test_an_operation_that_fails_is_named() -> None:
    program = read(
        lambda x, i: mb.gather(x=x, indices=i, axis=0, name="taken"),
        {"x": _placeholder(2), "i": _placeholder(1, dtype=types.int32)},
    )
    with pytest.raises(BundleError, match="gather 'taken' cannot be computed"):
        program.run({"x": np.zeros(2, np.float32), "i": np.array([7], np.int32)})


def test_what_is_no_ml_program_is_refused(plain: Path, tmp_path: Path) -> None:
    spec = Model_pb2.Model(specificationVersion=4)
    spec.neuralNetwork.SetInParent()
    (tmp_path / "old.mlmodel").write_bytes(spec.SerializeToString())
    with pytest.raises(BundleError, match="type neuralNetwork; only ML Programs can be evaluated"):
        coreml.read(tmp_path / "old.mlmodel")
    (tmp_path / "noise.mlmodel").write_bytes(b"\x07noise")
    with pytest.raises(BundleError, match="is not a Core ML model, or is damaged"):
        coreml.read(tmp_path / "noise.mlmodel")


def test_a_program_may_stand_alone_in_its_file(plain: Path, tmp_path: Path) -> None:
    shutil.copyfile(next(plain.rglob("*.mlmodel")), tmp_path / "net.mlmodel")
    (ours,) = coreml.read(tmp_path / "net.mlmodel").run({"x": np.array([1, 2])}).values()
    assert ours.tolist() == [2, 4]


def test_every_operation_of_ios_15_to_18_is_evaluated() -> None:
    from edgepack.emulator.coreml.coverage import coverage

    found = coverage()
    assert len(found) > 160
    assert [name for name, by in found.items() if by == "missing"] == []
    assert {name for name, by in found.items() if by == "coremltools"} <= {
        name for name in found if name.startswith("constexpr_")
    }


def test_the_page_of_operations_is_what_is_evaluated() -> None:
    from edgepack.emulator.coreml import coverage

    told = Path(coverage.__file__).with_name("OPERATIONS.md").read_text(encoding="utf-8")
    assert told == coverage.page(), "python -m edgepack.emulator.coreml.coverage > OPERATIONS.md"
    assert told.count("\n| ") == 1 + len(coverage.coverage())
    assert set(coverage._PARTLY) <= set(coverage.coverage())
