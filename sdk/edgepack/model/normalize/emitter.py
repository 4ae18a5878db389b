"""New nodes in a graph, with the values and origins that torch.export gives its own."""

from __future__ import annotations

from typing import Any

import torch
from torch._guards import detect_fake_mode
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

_ORIGIN = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn")


class Emitter:
    """Adds operators in front of a node, as parts of what it computes."""

    def __init__(self, module: GraphModule, place: Node) -> None:
        self.module = module
        self.place = place

    def __call__(self, target: Any, *args: Any, **kwargs: Any) -> Node:
        """A node that calls `target`."""
        with self.module.graph.inserting_before(self.place):
            node = self.module.graph.call_function(target, args, kwargs)
        fake_args, fake_kwargs = map_arg((args, kwargs), lambda each: each.meta["val"])
        mode = detect_fake_mode([each.meta["val"] for each in node.all_input_nodes])
        assert mode is not None
        with mode, torch.no_grad():
            self._describe(node, target(*fake_args, **fake_kwargs))
        return node

    def constant(self, value: torch.Tensor) -> Node:
        """A node that reads `value`, stored in a module of its own: a layer is named after its module."""
        number = 0
        while hasattr(self.module, f"computed_{number}"):
            number += 1
        holder = torch.nn.Module()
        if value.is_floating_point():
            holder.register_parameter("weight", torch.nn.Parameter(value.contiguous(), requires_grad=False))
        else:
            holder.register_buffer("weight", value.contiguous())
        self.module.add_module(f"computed_{number}", holder)
        with self.module.graph.inserting_before(self.place):
            node = self.module.graph.get_attr(f"computed_{number}.weight")
        mode = detect_fake_mode([each.meta.get("val") for each in self.module.graph.nodes])
        assert mode is not None
        self._describe(node, mode.from_tensor(value, static_shapes=True))
        return node

    def _describe(self, node: Node, value: Any) -> None:
        node.meta.update({key: self.place.meta[key] for key in _ORIGIN if key in self.place.meta})
        node.meta["val"] = value
