"""A model with flat inputs and outputs, and with the steps that the graph takes over from the app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from edgepack.model.binding import Binding
from edgepack.model.graph_preprocessing import GraphPreprocessing


class FlatModel(torch.nn.Module):
    """A model that takes tensors and returns a flat tuple of tensors.

    The wrapper also makes every parameter's name begin with a letter, which ExecuTorch's passes need.
    """

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
        self.training = False

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.preprocessing is not None:
            inputs = (self.preprocessing.before(inputs[0]),)
        arguments, keywords = self.binding.arguments(inputs)
        outputs = tuple(tree_leaves(self.model(*arguments, **keywords)))
        return outputs if self.preprocessing is None else self.preprocessing.after(outputs)
