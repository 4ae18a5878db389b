"""Run the float model on samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from edgepack.arrays import Sample
from edgepack.errors import SourceError

_SHOWN = 400
"""Characters of a model's own message that are shown: some messages contain whole tensors."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch in one thread: sums in the same order each time, and no wait for busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tensors(sample: Sample) -> tuple[torch.Tensor, ...]:
    """A sample as tensors that share its memory."""
    return tuple(torch.from_numpy(array) for array in sample)


def run(model: Callable[..., Any], sample: Sample) -> Sample:
    """The model's outputs for one sample. Raises SourceError with the model's own message."""
    try:
        with torch.no_grad():
            outputs = model(*(each.clone() for each in tensors(sample)))  # forward may write into it
    except SourceError:
        raise
    except (Exception, SystemExit) as cause:  # whatever the user's code raises
        inputs = ", ".join(f"{array.dtype} {list(array.shape)}" for array in sample)
        raise SourceError(
            f"the model raises on {inputs}: {type(cause).__name__}: {_shortened(str(cause))}",
            hint="check the contract's shape, layout and dtype (--input, or [input] in edgepack.toml)",
        ) from cause
    return _as_arrays(outputs)


def _as_arrays(outputs: tuple[torch.Tensor, ...]) -> Sample:
    for output in outputs:
        if output.is_complex():
            raise SourceError(
                f"the model returns {output.dtype}, which no file format carries",
                hint="return torch.view_as_real(output): its last axis holds the real and imaginary part",
            )
    try:
        return tuple(output.detach().cpu().numpy() for output in outputs)
    except (TypeError, RuntimeError) as cause:
        raise SourceError(f"the model's output is not a dense tensor: {cause}") from cause


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN].rstrip() + " …"
