"""Normalization: each pass leaves the outputs as they are, and a graph that formats can read."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import graph_of
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from edgepack.graph import layers
from edgepack.model.binding import Binding
from edgepack.model.capture import captured
from edgepack.model.flat_model import FlatModel
from edgepack.model.normalize import BEFORE_WRITES, PASSES
from edgepack.model.normalize.inline_regions import inline_regions
from edgepack.model.uncompiled import uncompiled
from edgepack.silence import quiet

IMAGE = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Any:
        return self.b(torch.relu(self.a(x)))


def same(net: nn.Module, *inputs: Tensor) -> ExportedProgram:
    """The normalized program of a network, whose outputs are those of the network."""
    flat = FlatModel(net.eval(), Binding(tuple(range(len(inputs)))))
    with torch.no_grad():
        exact = [each.clone() for each in flat(*(each.clone() for each in inputs))]
    program = captured(flat, inputs)
    for found, wanted in zip(program.module()(*inputs), exact, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    return program


def operators(program: ExportedProgram) -> Counter[str]:
    return Counter(str(node.target) for node in program.graph.nodes if node.op == "call_function")


# regions


class NoGrad(Base):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Any:
        return super().forward(x)


class Regions(Base):
    """Regions in a region, each with constants of its own."""

    def forward(self, x: Tensor) -> Any:
        with torch.enable_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            x = self.a(x) + torch.tensor([1.0, 2, 3, 4]).reshape(4, 1, 1)
            with torch.set_grad_enabled(True):
                x = self.b(x) * torch.tensor(0.5)
        with torch.inference_mode():
            return x + 1


@pytest.mark.parametrize("net", [NoGrad, Regions])
def test_regions_are_inlined_and_their_layers_found(net: type[nn.Module]) -> None:
    program = same(net(), IMAGE)
    assert list(layers.layers(program.module())) == ["a", "b"]
    assert not [node for node in program.graph.nodes if "submod" in str(node.target)]


def test_regions_are_counted() -> None:
    module = graph_of(NoGrad(), IMAGE)
    assert inline_regions(module) == 1
    torch.testing.assert_close(module(IMAGE), NoGrad()(IMAGE))


# constants


def _weight_norm() -> nn.Module:
    net = Base()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this form is deprecated
        nn.utils.weight_norm(net.a)
    parametrizations.weight_norm(net.b)
    return net


def _spectral_norm() -> nn.Module:
    net = Base()
    parametrizations.spectral_norm(net.a)
    nn.utils.spectral_norm(net.b)
    net(IMAGE)
    return net


@pytest.mark.parametrize("make", [_weight_norm, _spectral_norm])
def test_a_parametrized_layer_keeps_its_name_and_has_one_weight(make: Any) -> None:
    program = same(make(), IMAGE)
    assert list(layers.layers(program.module())) == ["a", "b"]
    assert set(program.state_dict) == {f"model.{n}.{part}" for n in "ab" for part in ("weight", "bias")}
    assert operators(program).keys() == {"aten.conv2d.default", "aten.relu.default"}


class Standardized(nn.Conv2d):
    """Weight standardization, which computes the weight in forward."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight / weight.std((1, 2, 3), keepdim=True), self.bias, padding=1)


class Shared(nn.Module):
    """One computed weight, used by two layers, and two layers in one module."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.raw = nn.Parameter(torch.randn(3, 3, 3, 3))
        self.other = nn.Parameter(torch.randn(3, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.raw * 2, padding=1)
        return F.conv2d(F.conv2d(x, self.raw * 2, padding=1), self.other.tanh())


def test_computed_weights_are_stored_once_and_each_layer_has_its_own_module() -> None:
    assert operators(same(nn.Sequential(Standardized(3, 4, 3)), IMAGE)) == {"aten.conv2d.default": 1}
    program = same(Shared(), IMAGE)
    assert len(program.state_dict) == 2
    assert len(layers.layers(program.module())) == 2


class Table(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, 3, 5, 5))

    def forward(self, x: Tensor) -> Tensor:
        return x + F.interpolate(self.table, size=x.shape[-2:], mode="bicubic")


class Masks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(16, 8)

    def forward(self, x: Tensor) -> Any:
        mask = x.new_ones(8, 8).tril().expand(1, 3, 8, 8)
        bias = torch.where(mask.bool(), torch.zeros(()), torch.full((), -1e4))
        return (x + bias).softmax(-1) + self.table(torch.arange(8)) + torch.zeros_like(x)


class Cleared(nn.Module):
    """As in Swin V2's attention: a part of a computed bias is cleared in place."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.layer.bias.clone()
        before = F.linear(x, self.layer.weight, bias)
        bias[2:4].zero_()
        return before + F.linear(x, self.layer.weight, bias * 2)


@pytest.mark.parametrize(
    ("net", "left"),
    [
        (Table, {"aten.add.Tensor": 1}),
        (Masks, {"aten.add.Tensor": 3, "aten.softmax.int": 1}),
        (Cleared, {"aten.linear.default": 2, "aten.add.Tensor": 1}),
    ],
)
def test_what_depends_on_constants_alone_is_folded(net: type[nn.Module], left: dict[str, int]) -> None:
    assert operators(same(net(), IMAGE)) == left


class Tied(nn.Module):
    """A large matrix in two roles: its transposed copy would double the model."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(512, 64)
        self.mask = nn.Parameter(torch.ones(1, 1, 1))

    def forward(self, x: Tensor) -> Any:
        scores = self.table(x) @ self.table.weight.T
        return scores * self.mask.expand(1, 512, 512)


def test_folding_never_makes_a_model_much_larger() -> None:
    program = same(Tied(), torch.arange(512)[None])
    size = sum(each.numel() for each in program.state_dict.values())
    assert size == 512 * 64 + 1


class Loose(nn.Module):
    """Tensors that exporters lose, of another memory format, and one that nothing reads."""

    passing: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passing", torch.randn(3, 8, 8), persistent=False)
        self.plain = torch.randn(1, 3).t()[..., None]  # contiguous, but not in the strides of a new tensor
        self.conv = nn.Conv2d(3, 4, 3)
        self.conv.weight.data = self.conv.weight.data.contiguous(memory_format=torch.channels_last)
        self.unused = nn.Linear(100, 100)

    def forward(self, x: Tensor) -> Any:
        x = (x * self.passing + self.plain + torch.tensor([1.0, 2, 3]).reshape(3, 1, 1)).contiguous(
            memory_format=torch.channels_last
        )
        return self.conv(x).permute(0, 2, 3, 1).view(1, 6, 24).clone(memory_format=torch.contiguous_format)


def test_stored_tensors_are_persistent_contiguous_and_read() -> None:
    program = same(Loose(), IMAGE)
    assert not program.constants
    assert all(spec.persistent is not False for spec in program.graph_signature.input_specs)
    for stored in program.state_dict.values():
        assert stored.stride() == torch.empty(stored.shape).stride()
    assert not [name for name in program.state_dict if "unused" in name]
    assert {"aten.contiguous.default", "aten.clone.default"}.isdisjoint(operators(program))


# writes


class Writes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x *= 2
        y = x.clone()
        y[:, 1:2] = x[:, :1]
        y[:, 0] = 1
        return y


class Rewrites(Base):
    """A buffer that is written, but does not change the outputs; batch norm that is not folded."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        y = self.norm(x)
        y[:, 0] = 0
        return super().forward(y)


@pytest.mark.parametrize("net", [Writes, Rewrites])
def test_nothing_is_written_in_place(net: type[nn.Module]) -> None:
    program = same(net(), IMAGE)
    assert not [name for name in operators(program) if name.split(".")[1].endswith("_")]
    assert "model.calls" not in program.state_dict
    assert len(program.graph_signature.output_specs) == 1
    assert not [name for name in operators(program) if "native_batch_norm" in name]


def _parts(x: Tensor) -> Tensor:
    y = torch.zeros(1, 3, 8, 8)
    y[:, 0] = x[:, 1]
    y[:, 1:, 2:5] = x[:, :1, :3]
    y[..., -1] = 1
    y[:, 2, ::3, 1::2] = x[:, 2, :3, :4]
    y[..., :] += 1
    return y


def _rotated(x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    y[..., ::2], y[..., 1::2] = -x[..., 1::2], x[..., ::2]
    return y


@pytest.mark.parametrize("run", [_parts, _rotated])
def test_assignments_to_constant_places_are_concatenations(run: Callable[[Tensor], Tensor]) -> None:
    class Assigns(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return run(x)

    names = operators(same(Assigns(), IMAGE))
    assert not [name for name in names if "scatter" in name or "copy" in name or "fill" in name]


def test_a_value_at_a_mask_is_selected() -> None:
    class Clamps(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.clone()
            y[y < 0] = 0
            z = (x * 4).long()
            z[z > 3] = 3
            return y + z

    assert operators(same(Clamps(), IMAGE))["aten.where.self"] == 2


def test_dropout_that_is_off_and_casts_that_change_nothing_are_removed() -> None:
    class Idle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = F.dropout(x + 1, 0.5, training=False).float().detach().expand(1, 3, 8, 8)
            return y.to(torch.float32) * 2

    assert operators(same(Idle(), IMAGE)) == {"aten.add.Tensor": 1, "aten.mul.Tensor": 1}


def test_compiled_modules_are_replaced_by_their_originals() -> None:
    net = Base()
    inner = net.a
    with quiet():  # torch's compiler warns of its own deprecated functions
        net.a = torch.compile(net.a, backend="eager")  # type: ignore[assignment]
        net.b.compile()
        whole = torch.compile(net, backend="eager")
    found = uncompiled(whole)  # type: ignore[arg-type]
    assert found is net
    assert net.a is inner
    assert net.b._compiled_call_impl is None


def test_every_pass_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs/normalization.md").read_text(encoding="utf-8")
    for each in (*BEFORE_WRITES, *PASSES):
        assert f"| {each.name} |" in page


# layouts


class ReshapedProduct(Base):
    """Attention whose heads are put side by side again, with an assignment before it."""

    def forward(self, x: Tensor) -> Any:
        heads = self.a(x).flatten(2).reshape(1, 2, 2, 64).transpose(2, 3)
        weights = (heads @ heads.transpose(-2, -1)).softmax(-1)
        weights[:, 0] = weights[:, 0] * 0.5
        return (weights @ heads).transpose(1, 2).reshape(1, 64, 4)


class ReadByStrides(Base):
    """Windows of the memory behind a permuted tensor: they are right only after the copy."""

    def forward(self, x: Tensor) -> Any:
        rows = self.a(x).permute(0, 2, 3, 1).contiguous()
        return self.b(rows.as_strided((1, 4, 8, 8), (256, 1, 32, 4)) + rows.permute(0, 3, 1, 2))


class Unflattened(Base):
    def forward(self, x: Tensor) -> Any:
        rows = self.a(x).to(memory_format=torch.channels_last).view(1, 4, 64).transpose(1, 2)
        return rows.contiguous().view_as(x.new_empty(1, 8, 8, 4)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    "net", [ReshapedProduct(), ReadByStrides(), Unflattened()], ids=lambda net: type(net).__name__
)
def test_a_view_stays_right_where_a_copy_before_it_goes(net: nn.Module) -> None:
    same(net, IMAGE)


# statistics


class OwnStatistics(Base):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.plain = nn.BatchNorm2d(4, affine=False, track_running_stats=False)
        self.affine = nn.BatchNorm1d(32, track_running_stats=False)

    def forward(self, x: Tensor) -> Any:
        x = self.plain(self.a(x)).reshape(self.size, 32, -1)
        return self.affine(x)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_batch_norm_by_its_own_statistics_is_no_batch_norm(size: int) -> None:
    assert "aten.batch_norm.default" not in operators(same(OwnStatistics(size), IMAGE))
