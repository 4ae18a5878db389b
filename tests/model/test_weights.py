"""Weights: state dicts read without running code in a pickle, and compared with the model."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgepack.errors import SourceError
from edgepack.model import weights


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.norm = nn.BatchNorm1d(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.norm(self.first(x))
        return out


class Evil:
    """Leaves a file where it is unpickled by Python's own unpickler."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


class Breaks:
    """Raises where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[int, int]]:
        return divmod, (1, 0)


def same(found: weights.StateDict, wanted: dict[str, torch.Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)


def refused(path: Path, *, trust_pickle: bool = False) -> SourceError:
    with pytest.raises(SourceError) as raised:
        weights.read(path, trust_pickle=trust_pickle)
    return raised.value


def test_a_state_dict_bare_or_wrapped_or_of_data_parallel(tmp_path: Path) -> None:
    state = Net().state_dict()
    forms = [
        state,
        {"state_dict": state, "epoch": 3},
        {"model": state},
        {"model_state_dict": state, "loss": 0.5},
        {"state_dict": {"model": state}},
        {f"module.{key}": value for key, value in state.items()},
    ]
    for form in forms:
        torch.save(form, tmp_path / "a.pth")
        assert same(weights.read(tmp_path / "a.pth", trust_pickle=False), state)
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert same(weights.read(tmp_path / "old.pt", trust_pickle=False), state)


def test_safetensors(tmp_path: Path) -> None:
    state = Net().state_dict()
    save_file(state, tmp_path / "a.safetensors")
    assert same(weights.read(tmp_path / "a.safetensors", trust_pickle=False), state)


def test_a_pickle_of_more_than_tensors_is_opened_by_trust_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    state = Net().state_dict()
    torch.save({"model": state, "args": argparse.Namespace(lr=0.1)}, path)
    problem = refused(path)
    assert "contains more than tensors" in str(problem)
    assert "--trust-pickle" in problem.hint
    assert same(weights.read(path, trust_pickle=True), state)


def test_what_a_pickle_would_run_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save({"weight": Evil(str(mark))}, tmp_path / "evil.pth")
    assert "could run code" in str(refused(tmp_path / "evil.pth"))
    assert not mark.exists()


def test_a_whole_module_has_a_state_dict_when_trusted(tmp_path: Path) -> None:
    net = Net()
    for form in (net, {"model": net, "epoch": 3}):
        torch.save(form, tmp_path / "a.pt")
        assert "contains more than tensors" in str(refused(tmp_path / "a.pt"))
        assert same(weights.read(tmp_path / "a.pt", trust_pickle=True), net.state_dict())


def test_what_a_trusted_pickle_raises_is_said(tmp_path: Path) -> None:
    torch.save({"weight": Breaks()}, tmp_path / "a.pth")
    said = str(refused(tmp_path / "a.pth", trust_pickle=True))
    assert "a.pth cannot be unpickled: ZeroDivisionError: " in said


@pytest.mark.parametrize("found", [[1, 2], {"a": 1}, "text", torch.zeros(3)])
def test_what_is_no_state_dict(tmp_path: Path, found: object) -> None:
    torch.save(found, tmp_path / "a.pth")
    assert f"does not contain a state dict, but {type(found).__name__}" in str(refused(tmp_path / "a.pth"))


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize(
    "content", [b"", b"hello", b"<!DOCTYPE html>", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_what_torch_did_not_save_is_not_taken_for_a_risk(tmp_path: Path, content: bytes, trust: bool) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    problem = refused(tmp_path / "a.pth", trust_pickle=trust)
    assert "is not a file that torch.save wrote" in str(problem)
    assert "trust" not in problem.hint


def test_damaged_files(tmp_path: Path) -> None:
    torch.save(Net().state_dict(), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    for content in (whole[:40], whole[: len(whole) // 2], b"PK\x03\x04", b"\x80\x02"):
        (tmp_path / "a.pth").write_bytes(content)
        for trust in (False, True):
            assert "a.pth cannot be read: " in str(refused(tmp_path / "a.pth", trust_pickle=trust))
    for content in (b"", b"x" * 20, b"\x10\0\0\0\0\0\0\0{}"):
        (tmp_path / "a.safetensors").write_bytes(content)
        assert "is not a safetensors file" in str(refused(tmp_path / "a.safetensors"))
    assert "cannot be read" in str(refused(tmp_path / "none.pth"))
    assert "is not a safetensors file" in str(refused(tmp_path / "none.safetensors"))


def test_put_loads_them() -> None:
    net, other = Net(), Net()
    weights.put(other.state_dict(), net, Path("w.pth"))
    assert same(net.state_dict(), other.state_dict())


def test_put_does_not_miss_the_count_of_batches() -> None:
    state = {key: value for key, value in Net().state_dict().items() if "num_batches" not in key}
    weights.put(state, Net(), Path("w.pth"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: {}, "the file lacks first.weight, first.bias, norm.weight and 3 more"),
        (
            lambda state: {**state, **{f"extra{n}": torch.zeros(1) for n in range(5)}},
            "the model has no extra0, extra1, extra2 and 2 more",
        ),
        (
            lambda state: {**state, "first.weight": torch.zeros(3, 8), "first.bias": torch.tensor(1.0)},
            "first.weight is 3x8 in the file, 16x8 in the model, first.bias is a scalar in the file, 16 in",
        ),
    ],
)
def test_put_names_the_first_that_do_not_fit(
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], words: str
) -> None:
    net = Net()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(SourceError) as raised:
        weights.put(change(net.state_dict()), net, Path("w.pth"))
    assert f"w.pth does not fit the model: {words}" in str(raised.value)
    assert same(net.state_dict(), before)
