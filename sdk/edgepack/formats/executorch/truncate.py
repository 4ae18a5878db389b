"""A `.pte` truncated after one of its layers, whose output becomes the output of the program.

A layer is an instruction of the method `forward` or, inside the part that XNNPACK runs, a node of XNNPACK's
graph; its name is that of `describe`. Outputs of XNNPACK's nodes have the layout of its graph: channels
last. flatc prints the scales of the graph with six digits, so an int8 layer can differ by one step from the
same layer of the whole file: compare truncated files with each other only.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from executorch.exir._serialize._program import serialize_pte_binary
from executorch.exir.scalar_type import ScalarType
from executorch.exir.schema import AllocationDetails, EValue

from edgepack.errors import BundleError
from edgepack.formats.executorch import program_file, xnnpack_graph

_NONE = 0xFFFFFFFF
"""The external number of an XNNPACK value that is neither an input nor an output of the graph."""
_OUTPUT = 2
"""The flag of an XNNPACK value that is an output of the graph."""
_TYPES = {
    "xnn_datatype_fp32": (ScalarType.FLOAT, 4),
    "xnn_datatype_fp16": (ScalarType.HALF, 2),
    "xnn_datatype_qint8": (ScalarType.CHAR, 1),
    "xnn_datatype_quint8": (ScalarType.BYTE, 1),
}
"""The XNNPACK types that a program has a type for: that type, and the bytes of an element."""


@dataclass(frozen=True)
class Layer:
    """A place where a program can be truncated."""

    name: str
    kind: str
    instruction: int
    output: int
    """Index of its output among the program's values, or among those of XNNPACK's graph."""
    node: int | None
    """Index of its node in XNNPACK's graph; None for an instruction."""


class Truncator:
    """A program that can be truncated after any of its `layers`."""

    def __init__(self, path: Path) -> None:
        """Raises BundleError where the program cannot be read, or has branches."""
        with program_file.readable(path):
            self._file: Any = program_file.read(path)
            self._plan: Any = _forward(self._file.program)
            self._calls = [each.instr_args for each in self._plan.chains[0].instructions]
            self._graphs = dict(self._read())
            self.layers = tuple(self._layers())

    def _read(self) -> Iterator[tuple[int, Any]]:
        """XNNPACK's graphs that can be decoded, with the index of the instruction that calls each."""
        for number, call in enumerate(self._calls):
            if (
                type(call).__name__ != "DelegateCall"
                or self._plan.delegates[call.delegate_index].id != xnnpack_graph.BACKEND
            ):
                continue
            if graph := xnnpack_graph.decoded(self._payload(call)):
                yield number, graph

    def _payload(self, call: Any) -> bytes:
        index = self._plan.delegates[call.delegate_index].processed.index
        return bytes(self._file.program.backend_delegate_data[index].data)

    def _layers(self) -> Iterator[Layer]:
        seen: Counter[str] = Counter()
        for number, call in enumerate(self._calls):
            for kind, output, node in self._outputs(number, call):
                seen[kind] += 1
                if output is not None:
                    yield Layer(f"{kind} #{seen[kind]}", kind, number, output, node)

    def _outputs(self, number: int, call: Any) -> Iterator[tuple[str, int | None, int | None]]:
        """Kind, output and node of each layer of an instruction; the output is None where it cannot become
        the program's."""
        if type(call).__name__ == "KernelCall":
            operator = self._plan.operators[call.op_index]
            suffix = f".{operator.overload}" if operator.overload not in ("", "out") else ""
            output = call.args[-1]
            is_tensor = type(self._plan.values[output].val).__name__ == "Tensor"
            yield operator.name + suffix, output if is_tensor else None, None
        elif number in self._graphs:
            values = xnnpack_graph.values(self._graphs[number])
            for node, each in enumerate(self._graphs[number]["xnodes"]):
                output = each["xnode_union"].get("output_id")
                has_type = output in values and values[output]["datatype"] in _TYPES
                yield each["xnode_union_type"], output if has_type else None, node

    def write(self, layer: Layer, out: Path) -> None:
        """Write the program up to `layer`, whose output is the only one, at `out`."""
        file = replace(self._file, program=copy.copy(self._file.program))
        plan = copy.deepcopy(self._plan)
        file.program.execution_plan = [plan]
        chain = plan.chains[0]
        chain.instructions = chain.instructions[: layer.instruction + 1]
        plan.outputs = [layer.output]
        if layer.node is not None:
            self._truncate_graph(file.program, plan, layer)
        out.write_bytes(bytes(serialize_pte_binary(file, extract_delegate_segments=True)))

    def _truncate_graph(self, program: Any, plan: Any, layer: Layer) -> None:
        """End the graph of XNNPACK's last call after a node, and add its output to the program's values."""
        graph = copy.deepcopy(self._graphs[layer.instruction])
        value = xnnpack_graph.values(graph)[layer.output]
        call = plan.chains[0].instructions[-1].instr_args
        given = len(graph["input_ids"])
        call.args = [*call.args[:given], len(plan.values)]
        plan.outputs = [len(plan.values)]
        plan.values.append(EValue(_tensor(plan, value)))
        _end_graph(graph, layer, given)
        delegate = plan.delegates[call.delegate_index]
        data = list(program.backend_delegate_data)
        data[delegate.processed.index] = replace(
            data[delegate.processed.index], data=xnnpack_graph.encoded(graph, self._payload(call))
        )
        program.backend_delegate_data = data


def _forward(program: Any) -> Any:
    plan = next(each for each in program.execution_plan if each.name == "forward")
    kinds = {type(each.instr_args).__name__ for chain in plan.chains for each in chain.instructions}
    if len(plan.chains) > 1 or "JumpFalseCall" in kinds:
        raise BundleError("a program with branches cannot be truncated")
    return plan


def _tensor(plan: Any, value: Any) -> Any:
    """A tensor of the program for a value of XNNPACK, in memory of its own."""
    scalar_type, width = _TYPES[value["datatype"]]
    sizes = [int(size) for size in value.get("dims", [])]
    plan.non_const_buffer_sizes.append(max(1, math.prod(sizes)) * width)
    like = next(each.val for each in plan.values if type(each.val).__name__ == "Tensor")
    where = AllocationDetails(len(plan.non_const_buffer_sizes) - 1, 0, 0)
    return replace(
        like,
        scalar_type=scalar_type,
        sizes=sizes,
        dim_order=list(range(len(sizes))),
        data_buffer_idx=0,
        allocation_info=where,
        extra_tensor_info=None,
    )


def _end_graph(graph: Any, layer: Layer, given: int) -> None:
    """Remove the nodes of an XNNPACK graph after that of `layer`, whose output is the only one left."""
    assert layer.node is not None
    graph["xnodes"] = graph["xnodes"][: layer.node + 1]
    for each in xnnpack_graph.values(graph).values():
        if each["flags"] & _OUTPUT:
            each.update(flags=each["flags"] & ~_OUTPUT, external_id=_NONE)
    ends = xnnpack_graph.values(graph)[layer.output]
    ends.update(flags=ends["flags"] | _OUTPUT, external_id=given)
    graph["output_ids"], graph["num_externs"] = [layer.output], given + 1
