"""Weights: state dicts read without running code in a pickle, and compared with the model."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgepack.errors import SourceError
from edgepack.model import checkpoint, weights
from edgepack.model.checkpoint import StateDict


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


def same(found: StateDict, wanted: dict[str, torch.Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)


def put(path: Path, net: nn.Module, *, trust_pickle: bool = False) -> list[str]:
    return weights.put(checkpoint.read(path, trust_pickle=trust_pickle), net)


def loaded(path: Path, *, trust_pickle: bool = False) -> StateDict:
    """The state of a net after the file was loaded into it."""
    net = Net()
    put(path, net, trust_pickle=trust_pickle)
    return net.state_dict()


def noted(content: object, path: Path, net: nn.Module | None = None) -> list[str]:
    """The notes about a file with this content, which must hold the weights of `Net` number 5."""
    torch.save(content, path)
    into = net or Net()
    notes = put(path, into)
    assert all(torch.equal(mine, wanted) for mine, wanted in zip(into.state_dict().values(), STATE.values()))
    return notes


def refused(path: Path, *, trust_pickle: bool = False) -> SourceError:
    with pytest.raises(SourceError) as raised:
        put(path, Net(), trust_pickle=trust_pickle)
    return raised.value


def drawn(seed: int) -> StateDict:
    """A state of `Net`, every value drawn, so that no two states are alike."""
    draw = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(value.shape, generator=draw) if value.is_floating_point() else value
        for key, value in Net().state_dict().items()
    }


STATE = drawn(5)


def prefixed(prefix: str, state: StateDict = STATE) -> StateDict:
    return {prefix + key: value for key, value in state.items()}


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
        assert same(loaded(tmp_path / "a.pth"), state)
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert same(loaded(tmp_path / "old.pt"), state)


def test_safetensors(tmp_path: Path) -> None:
    state = Net().state_dict()
    save_file(state, tmp_path / "a.safetensors")
    save_file(state, tmp_path / "download")  # known by its content
    assert same(loaded(tmp_path / "a.safetensors"), state)
    assert same(loaded(tmp_path / "download"), state)


def test_a_pickle_of_more_than_tensors_is_opened_by_trust_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    state = Net().state_dict()
    torch.save({"model": state, "args": argparse.Namespace(lr=0.1)}, path)
    problem = refused(path)
    assert "contains more than tensors" in str(problem)
    assert "--trust-pickle" in problem.hint
    assert same(loaded(path, trust_pickle=True), state)


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
        assert same(loaded(tmp_path / "a.pt", trust_pickle=True), net.state_dict())


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


def test_weights_below_a_key_beside_other_things(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    rest = {
        "epoch": 3,
        "optimizer": {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(16, 8)}}},
    }
    for key in ("model_state", "params_ema", "generator", "ema", "network_state", "model_ema"):
        assert noted({key: STATE, **rest}, path) == [f"weights: '{key}' of w.pth was taken"]
    said = noted({"model": {"state_dict": prefixed("module.")}, **rest}, path)
    assert said == [
        "weights: 'model.state_dict' of w.pth was taken",
        "weights: removed 'module.' from the keys of w.pth",
    ]
    assert noted({"generator": STATE, "discriminator": {"w": torch.ones(2)}}, path) == [
        "weights: 'generator' of w.pth was taken"
    ]
    assert noted({part: _below(part) for part in ("first", "norm")}, path) == []  # a dict for each part


def _below(part: str) -> StateDict:
    return {key.removeprefix(f"{part}."): value for key, value in STATE.items() if key.startswith(part)}


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.module.core."],
)
def test_a_prefix_of_all_keys_is_removed(prefix: str, tmp_path: Path) -> None:
    (said,) = noted(prefixed(prefix), tmp_path / "w.pth")
    assert said.startswith("weights: removed '")
    for part in prefix.split("."):
        assert part in said


def test_wrappers_inside_the_keys_or_the_model(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    inside = {key.replace("first.", "first._orig_mod."): value for key, value in STATE.items()}
    assert noted(inside, path) == ["weights: removed '_orig_mod.' from the keys of w.pth"]
    assert noted(STATE, path, torch.nn.Sequential(Net())) == ["weights: put '0.' before the keys of w.pth"]
    changed = noted(prefixed("net."), path, torch.nn.ModuleDict({"body": Net()}))
    assert changed == [
        "weights: removed 'net.' from the keys of w.pth",
        "weights: put 'body.' before the keys of w.pth",
    ]


def test_keys_of_other_parts_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.ckpt"
    state = {**prefixed("net."), "criterion.weight": torch.ones(6), "train_acc.tp": torch.zeros(6)}
    said = noted({"state_dict": state, "hyper_parameters": {"lr": 0.1}}, path)
    assert "weights: criterion.weight, train_acc.tp of w.ckpt belong to no part of the model" in said
    counted = {"n_averaged": torch.tensor(7), **prefixed("module."), "module.first.total_ops": torch.ones(1)}
    assert noted(counted, path) == ["weights: removed 'module.' from the keys of w.ckpt"]


def test_averaged_weights_are_preferred_and_the_others_named(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    other = drawn(6)
    for content, taken, left in (
        (
            {"state_dict": prefixed("module.", other), "state_dict_ema": STATE},
            "state_dict_ema",
            "state_dict.module",
        ),
        ({"params": other, "params_ema": STATE}, "params_ema", "params"),
        ({"model": STATE, "teacher": other}, "model", "teacher"),
    ):
        assert noted(content, path) == [f"weights: '{taken}' of w.pth was taken; '{left}' would fit, too"]
    flat = {**prefixed("ema_model.module."), **prefixed("online_model.", other), "step": torch.tensor([9])}
    assert "'ema_model.module' of w.pth was taken; 'online_model' would fit, too" in noted(flat, path)[0]


def test_several_sets_of_which_none_is_preferred(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"student": STATE, "teacher": drawn(6)}, path)
    assert "several sets of weights that fit the model: 'student', 'teacher'" in str(refused(path))
    assert noted({"student": STATE, "teacher": STATE}, path) == ["weights: 'student' of w.pth was taken"]


def test_shards(tmp_path: Path) -> None:
    names = list(STATE)
    parts = {"a-1.safetensors": names[:3], "b-2.bin": names[3:]}
    save_file({key: STATE[key] for key in names[:3]}, tmp_path / "a-1.safetensors")
    torch.save({key: STATE[key] for key in names[3:]}, tmp_path / "b-2.bin")
    index = tmp_path / "model.safetensors.index.json"
    places = {key: shard for shard, keys in parts.items() for key in keys}
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert same(loaded(index), STATE)
    (tmp_path / "b-2.bin").unlink()
    assert "names the shard b-2.bin, which is missing" in str(refused(index))
    for wrong in ("{}", "[1]", "no json", '{"weight_map": [1]}'):
        index.write_text(wrong)
        assert "is not an index of weights" in str(refused(index))
    index.write_text(json.dumps({"weight_map": {"first.weight": "../elsewhere.safetensors"}}))
    assert "is not the name of a file in its folder" in str(refused(index))


def test_half_precision_is_told(tmp_path: Path) -> None:
    exact = {key: value.bfloat16() if value.is_floating_point() else value for key, value in STATE.items()}
    torch.save(exact, tmp_path / "w.pth")
    net = Net()
    assert put(tmp_path / "w.pth", net) == ["weights: w.pth stores bfloat16 values"]
    assert torch.equal(net.first.weight, exact["first.weight"].float())


def test_a_torchscript_file_is_a_state_dict_too(tmp_path: Path) -> None:
    net = Net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.jit is deprecated
        torch.jit.script(net).save(tmp_path / "w.pt")
    assert same(loaded(tmp_path / "w.pt"), net.state_dict())


def test_what_is_no_weights_of_torch_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.zeros(3))
    assert "contains NumPy arrays, not a PyTorch state dict" in str(refused(tmp_path / "w.npz"))
    (tmp_path / "w.h5").write_bytes(b"\x89HDF")
    assert "contains HDF5" in str(refused(tmp_path / "w.h5"))
    torch.save({"epoch": 1, "args": {"lr": 0.1}}, tmp_path / "w.pth")
    assert "but dict with epoch (int), args (dict)" in str(refused(tmp_path / "w.pth"))


def test_tied_weights_may_be_stored_once_and_weight_norm_in_its_older_form(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
            self.head.weight = self.embed.weight

    wanted = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    torch.save({"embed.weight": wanted}, tmp_path / "w.pth")
    tied = Tied()
    assert put(tmp_path / "w.pth", tied) == []
    assert torch.equal(tied.head.weight, wanted)

    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)))
    older = {"0.bias": torch.ones(4), "0.weight_g": torch.full((4, 1), 2.0), "0.weight_v": torch.ones(4, 3)}
    torch.save(older, tmp_path / "w.pth")
    assert put(tmp_path / "w.pth", normed) == []
    layer = normed[0]
    assert isinstance(layer, nn.Linear)
    torch.testing.assert_close(layer.weight, torch.full((4, 3), 2 / 3**0.5))


def test_put_does_not_miss_the_count_of_batches(tmp_path: Path) -> None:
    noted({key: value for key, value in STATE.items() if "num_batches" not in key}, tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda state: {"other": torch.zeros(2)},
            "the file lacks first.weight, first.bias, norm.weight and 3 more; the model has no other",
        ),
        (
            lambda state: {**state, **{f"extra{n}": torch.zeros(1) for n in range(5)}},
            "the model has no extra0, extra1, extra2 and 2 more",
        ),
        (
            lambda state: {**state, "first.weight": torch.zeros(3, 8), "first.bias": torch.tensor(1.0)},
            "first.weight is 3x8 in the file, 16x8 in the model, first.bias is a scalar in the file, 16 in",
        ),
        (
            lambda state: {**state, "first.weight": torch.zeros(16, 8, dtype=torch.int8)},
            "first.weight is int8 in the file, float32 in the model",
        ),
        (
            lambda state: {f"module.{key}": value for key, value in state.items() if key != "norm.bias"},
            "with 'module.' removed from its keys, the file lacks norm.bias",
        ),
    ],
)
def test_put_names_the_first_that_do_not_fit(
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], words: str, tmp_path: Path
) -> None:
    net = Net()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    torch.save(change(net.state_dict()), tmp_path / "w.pth")
    with pytest.raises(SourceError) as raised:
        put(tmp_path / "w.pth", net)
    assert f"w.pth does not fit the model: {words}" in str(raised.value)
    assert same(net.state_dict(), before)


def test_the_change_of_keys_that_would_help_most_is_named(tmp_path: Path) -> None:
    renamed = {key.replace("first.", "backbone.conv1."): value for key, value in STATE.items()}
    torch.save(renamed, tmp_path / "w.pth")
    assert "6 of 7 keys" not in refused(tmp_path / "w.pth").hint
    assert "7 of 7 keys would match with 'backbone.conv1' → 'first'" in refused(tmp_path / "w.pth").hint
    torch.save({"a": torch.zeros(2)}, tmp_path / "w.pth")
    assert "belong to this architecture" in refused(tmp_path / "w.pth").hint
