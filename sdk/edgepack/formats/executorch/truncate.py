"""A `.pte` cut off behind one of its layers, whose answer it then gives.

A layer is an instruction of the method forward, or, within what XNNPACK was given, a node of its graph; it
is called as `describe` calls it. What XNNPACK answers lies as in its graph: the channels of pictures last.
flatc tells the scales of XNNPACK's graph in six digits, so an int8 layer may answer a code beside the whole
file's: compare cut files with each other.
"""

from __future__ import annotations

import copy
import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from executorch.backends.xnnpack.serialization import xnnpack_graph_serialize as xnnpack
from executorch.exir._serialize._flatbuffer import _flatc_compile
from executorch.exir._serialize._program import serialize_pte_binary
from executorch.exir.scalar_type import ScalarType
from executorch.exir.schema import AllocationDetails, EValue

from edgepack.errors import BundleError
from edgepack.formats.executorch import contents

_XNNPACK = "XnnpackBackend"
_NONE = 0xFFFFFFFF
"""The external number of an XNNPACK value that neither comes from nor goes to the program."""
_OUTPUT = 2
"""The flag of one that goes there."""
_TYPES = {
    "xnn_datatype_fp32": (ScalarType.FLOAT, 4),
    "xnn_datatype_fp16": (ScalarType.HALF, 2),
    "xnn_datatype_qint8": (ScalarType.CHAR, 1),
    "xnn_datatype_quint8": (ScalarType.BYTE, 1),
}
"""Of values that the program can take from XNNPACK, with their bytes."""


@dataclass(frozen=True)
class Layer:
    """Where a program can be cut."""

    name: str
    kind: str
    instruction: int
    answer: int
    """The place of its answer among the program's values; within XNNPACK's graph its number there."""
    node: int | None
    """The last node of XNNPACK's graph that is kept; None of an instruction."""


class Cut:
    """A file that can be cut."""

    def __init__(self, path: Path) -> None:
        """Raises BundleError where it cannot be read, or has branches: they cannot be cut."""
        with contents.readable(path):
            self._file: Any = contents.file(path)
            self._plan: Any = _forward(self._file.program)
            self._calls = [each.instr_args for each in self._plan.chains[0].instructions]
            self._graphs = dict(self._read())
            self.layers = tuple(self._layers())

    def _read(self) -> Iterator[tuple[int, Any]]:
        """XNNPACK's graphs that can be read, by their instruction."""
        for number, call in enumerate(self._calls):
            if (
                type(call).__name__ != "DelegateCall"
                or self._plan.delegates[call.delegate_index].id != _XNNPACK
            ):
                continue
            if graph := contents.xnnpack_graph(self._payload(call)):
                yield number, graph

    def _payload(self, call: Any) -> bytes:
        index = self._plan.delegates[call.delegate_index].processed.index
        return bytes(self._file.program.backend_delegate_data[index].data)

    def _layers(self) -> Iterator[Layer]:
        seen: Counter[str] = Counter()
        for number, call in enumerate(self._calls):
            for kind, answer, node in self._answers(number, call):
                seen[kind] += 1
                if answer is not None:
                    yield Layer(f"{kind} #{seen[kind]}", kind, number, answer, node)

    def _answers(self, number: int, call: Any) -> Iterator[tuple[str, int | None, int | None]]:
        """Kind, answer and node of each layer of an instruction; no answer where it is none to compare."""
        if type(call).__name__ == "KernelCall":
            operator = self._plan.operators[call.op_index]
            suffix = f".{operator.overload}" if operator.overload not in ("", "out") else ""
            answer = call.args[-1]
            is_tensor = type(self._plan.values[answer].val).__name__ == "Tensor"
            yield operator.name + suffix, answer if is_tensor else None, None
        elif number in self._graphs:
            values = contents.xnnpack_values(self._graphs[number])
            for node, each in enumerate(self._graphs[number]["xnodes"]):
                answer = each["xnode_union"].get("output_id")
                takeable = answer in values and values[answer]["datatype"] in _TYPES
                yield each["xnode_union_type"], answer if takeable else None, node

    def write(self, layer: Layer, out: Path) -> None:
        """The program up to `layer`, its answer the only output."""
        file = replace(self._file, program=copy.copy(self._file.program))
        plan = copy.deepcopy(self._plan)
        file.program.execution_plan = [plan]
        chain = plan.chains[0]
        chain.instructions = chain.instructions[: layer.instruction + 1]
        plan.outputs = [layer.answer]
        if layer.node is not None:
            self._cut_within(file.program, plan, layer)
        out.write_bytes(bytes(serialize_pte_binary(file, extract_delegate_segments=True)))

    def _cut_within(self, program: Any, plan: Any, layer: Layer) -> None:
        """Let XNNPACK's last call end behind a node, and the program have room for its answer."""
        graph = copy.deepcopy(self._graphs[layer.instruction])
        value = contents.xnnpack_values(graph)[layer.answer]
        call = plan.chains[0].instructions[-1].instr_args
        given = len(graph["input_ids"])
        call.args = [*call.args[:given], len(plan.values)]
        plan.outputs = [len(plan.values)]
        plan.values.append(EValue(_room(plan, value)))
        _end(graph, layer, given)
        delegate = plan.delegates[call.delegate_index]
        data = list(program.backend_delegate_data)
        data[delegate.processed.index] = replace(
            data[delegate.processed.index], data=_written(graph, self._payload(call))
        )
        program.backend_delegate_data = data


def _forward(program: Any) -> Any:
    plan = next(each for each in program.execution_plan if each.name == "forward")
    kinds = {type(each.instr_args).__name__ for chain in plan.chains for each in chain.instructions}
    if len(plan.chains) > 1 or "JumpFalseCall" in kinds:
        raise BundleError("a program with branches cannot be cut")
    return plan


def _room(plan: Any, value: Any) -> Any:
    """A tensor for a value of XNNPACK, in memory of its own."""
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


def _end(graph: Any, layer: Layer, given: int) -> None:
    """Let an XNNPACK graph end behind a node, whose answer is its only one."""
    assert layer.node is not None
    graph["xnodes"] = graph["xnodes"][: layer.node + 1]
    for each in contents.xnnpack_values(graph).values():
        if each["flags"] & _OUTPUT:
            each.update(flags=each["flags"] & ~_OUTPUT, external_id=_NONE)
    ends = contents.xnnpack_values(graph)[layer.answer]
    ends.update(flags=ends["flags"] | _OUTPUT, external_id=given)
    graph["output_ids"], graph["num_externs"] = [layer.answer], given + 1


def _written(graph: Any, before: bytes) -> bytes:
    """The payload of a graph, with the constants of the one `before`."""
    header = xnnpack.XNNHeader.from_bytes(before[: xnnpack.XNNHeader.EXPECTED_LENGTH])
    with tempfile.TemporaryDirectory() as folder:
        schema, plain = Path(folder, "schema.fbs"), Path(folder, "graph.json")
        schema.write_bytes(xnnpack._get_schema_bytes())
        plain.write_text(json.dumps(graph), encoding="utf-8")
        _flatc_compile(folder, str(schema), str(plain))
        packed = Path(folder, "graph.bin").read_bytes()
    align = xnnpack.CONSTANT_TENSOR_ALIGNMENT
    begin = xnnpack._aligned_size(xnnpack.XNNHeader.EXPECTED_LENGTH, align)
    length = xnnpack._aligned_size(len(packed), align)
    constants = before[header.constant_data_offset :][: header.constant_data_size]
    made = xnnpack.XNNHeader(begin, len(packed), begin + length, len(constants))
    return b"".join([xnnpack._pad_to(made.to_bytes(), begin), xnnpack._pad_to(packed, length), constants])
