"""Which operators of a lowered program run in delegates, and which in ExecuTorch's own kernels.

The edge program is read before its memory is planned, because its operators still have their line in the
model. An operator is a call of a kernel, also in a branch of control flow. Views, size checks, control flow
itself and the unpacking of tuples call no kernel. Quantize and dequantize are counted outside of delegates
only: there they are kernels, while inside they mark the types that their neighbours compute in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from executorch.exir.dialects.edge._ops import EdgeOpOverload
from executorch.exir.lowered_backend_module import LoweredBackendModule
from torch._C import DispatchKey
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from edgepack.delegation import Delegate, Delegation, Outside

_NONE = re.compile(r"::(view|alias|detach)(_copy)?$|::(_assert|sym_)")
"""Calls that run no kernel."""
_QUANTIZERS = re.compile(r"^(quantized_decomposed|torchao)::")
_FRAME = re.compile(r'File "([^"<]+)", line (\d+)')
_NOT_THE_MODEL = frozenset({"torch", "torchao", "executorch", "edgepack"})


@dataclass(frozen=True)
class _Operator:
    kind: str
    line: str
    multiply_adds: int


def found(program: ExportedProgram) -> Delegation:
    """The delegation of an edge program after `to_backend`."""
    modules = list(program.graph_module.modules())
    parts: dict[str, list[list[_Operator]]] = {}
    for each in modules:
        if isinstance(each, LoweredBackendModule):
            parts.setdefault(each.backend_id, []).append(list(_inside(each)))
    outside = list(_operators(program.graph_module))
    everything = [*outside, *(each for own in parts.values() for part in own for each in part)]
    delegates = tuple(_delegate(name, own, everything) for name, own in parts.items())
    return Delegation(len(everything), _work(everything), delegates, _grouped(outside))


def _delegate(name: str, parts: list[list[_Operator]], everything: list[_Operator]) -> Delegate:
    own = [each for part in parts for each in part]
    adds, all_adds = _work(own), _work(everything)
    share = adds / all_adds if all_adds else None
    return Delegate(name, len(parts), len(own), adds, len(own) / len(everything), share)


def _work(operators: list[_Operator]) -> int:
    return sum(each.multiply_adds for each in operators)


def _grouped(operators: list[_Operator]) -> tuple[Outside, ...]:
    """Operators by kind and line: most multiply-adds first, then most calls, then in order of execution."""
    counts = Counter((each.kind, each.line) for each in operators)
    adds: Counter[tuple[str, str]] = Counter()
    for each in operators:
        adds[each.kind, each.line] += each.multiply_adds
    groups = [Outside(kind, line, count, adds[kind, line]) for (kind, line), count in counts.items()]
    return tuple(sorted(groups, key=lambda group: (-group.multiply_adds, -group.count)))


def _inside(lowered: LoweredBackendModule) -> Iterator[_Operator]:
    for each in _operators(lowered.original_module.graph_module):
        if not _QUANTIZERS.match(each.kind):
            yield each


def _operators(graph_module: GraphModule) -> Iterator[_Operator]:
    """Operators of a graph, with those in branches of control flow, in order of execution."""
    for module in graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            operator = _kernel(node.target)
            if operator is None:
                continue
            kind = operator.name().split(".")[0]
            if not _NONE.search(kind):
                yield _Operator(kind, _line(node), _multiply_adds(operator, node))


def _kernel(target: Any) -> torch._ops.OpOverload | None:
    """The operator that a node calls; None for other nodes."""
    operator = target._op if isinstance(target, EdgeOpOverload) else target
    return operator if isinstance(operator, torch._ops.OpOverload) else None


def _multiply_adds(operator: torch._ops.OpOverload, node: Node) -> int:
    """The multiply-adds of one call, by the shapes of its arguments; torch counts each as two operations."""
    composed = operator.has_kernel_for_dispatch_key(DispatchKey.CompositeImplicitAutograd)
    if operator.overloadpacket not in flop_registry and not composed:
        return 0
    arguments = map_arg(node.args, lambda each: each.meta["val"])
    keywords = map_arg(node.kwargs, lambda each: each.meta["val"])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        operator(*arguments, **keywords)
    return int(counter.get_total_flops()) // 2


def _line(node: Node) -> str:
    """The line of code that a node comes from: the innermost one outside of torch and edgepack."""
    for name, number in reversed(_FRAME.findall(node.meta.get("stack_trace") or "")):
        path = _as_imported(name)
        if path.parts[0] not in _NOT_THE_MODEL:
            return f"{path.as_posix()}:{number}"
    return ""


@cache
def _as_imported(name: str) -> Path:
    """The path of a source file from the folder of its top package, without folders of this machine."""
    path = Path(name)
    top = path.parent
    while (top / "__init__.py").is_file():
        top = top.parent
    return path.relative_to(top)
