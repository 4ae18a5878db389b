"""A model with flat inputs and outputs, and with the steps that the graph takes over from the app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from edgepack.model.binding import Binding
from edgepack.model.float32 import InFloat32
from edgepack.model.graph_preprocessing import GraphPreprocessing
from edgepack.model.outputs import flattened


class FlatModel(torch.nn.Module):
    """A model that takes tensors and returns a flat tuple of tensors, computed in float32.

    The wrapper also makes every parameter's name begin with a letter, which ExecuTorch's passes need.
    """

    replaced: frozenset[str]
    """Other float types in which the model's `forward` computes, and `autocast`, known after a run."""
    left_out: tuple[str, ...]
    """What the model returned besides tensors in its last run, one sentence for each value."""

    def __init__(
        self,
        model: Callable[..., Any],
        binding: Binding,
        preprocessing: GraphPreprocessing | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.binding = binding
        self.preprocessing = preprocessing
        self.replaced, self.left_out = frozenset(), ()
        self.training = False

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.preprocessing is not None:
            inputs = (self.preprocessing.before(inputs[0]),)
        arguments, keywords = self.binding.arguments(inputs)
        with InFloat32() as mode:
            returned = flattened(self.model(*arguments, **keywords))
            outputs = tuple(leaf.value for leaf in returned.tensors)
        self.replaced |= mode.replaced
        self.left_out = returned.notes
        return outputs if self.preprocessing is None else self.preprocessing.after(outputs)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the model's last run."""
        types = ", ".join(sorted(self.replaced))
        casts = (f"forward computes in {types}: edgepack computes in float32 instead",) if types else ()
        return (*casts, *self.left_out)
