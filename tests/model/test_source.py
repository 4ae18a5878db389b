"""Sources: models that cannot be used are refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_models import refused, work_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return work_folder(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nett", "nets.py has no 'nett': did you mean 'net'?"),
        ("Group.Outer", "has no 'Group.Outer'"),
        ("number", "must be a torch.nn.Module or return one, not int"),
        ("gives_three", "must be a torch.nn.Module or return one, not int"),
        ("breaks", "nets.py:breaks() raises RuntimeError: no such backbone"),
        ("quits", "nets.py:quits() raises SystemExit: bye"),
        ("Wants", "missing 1 required positional argument: 'classes'"),
        ("Picky", "the model raises on float32 [1, 8]: ValueError: I take images of cats only"),
        ("leaves", "the model raises on float32 [1, 8]: SystemExit: 3"),
        ("word", "the model must return tensors"),
        ("nothing", "the model must return tensors"),
        ("nan", "returns NaN or infinity (output 0, sample 0)"),
        ("infinite", "returns NaN or infinity (output 1, sample 0)"),
        ("complex_", "torch.complex64"),
        ("sparse", "not a dense tensor"),
        ("noisy", "returns different outputs for the same sample: it draws random numbers by aten.rand"),
        ("branches", "the model branches on a value of a tensor"),
    ],
)
def test_a_model_that_cannot_be_used(name: str, words: str) -> None:
    assert words in refused(model=f"nets.py:{name}")
