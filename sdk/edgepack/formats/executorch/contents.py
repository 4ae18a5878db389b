"""What an ExecuTorch program (`.pte`) contains.

Nothing is run. A `.pte` has no module names, so the name of a layer is its operator and a number, in order
of execution.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgepack.formats import contract_metadata, coreml
from edgepack.formats.description import Description, Tensor
from edgepack.formats.executorch import program_file, xnnpack_graph
from edgepack.formats.executorch.program_file import dtype_name
from edgepack.formats.weighted_operators import Constant, Operator, layers, quantized

_INTEGERS = frozenset({"int4", "int8", "uint8", "int16"})
_WEIGHTED = re.compile(
    r"conv(?!ert)|(^|_|:)linear|(^|:|add|b)mm|matmul|embedding|lstm|gru|FullyConnected|MatrixMultiply",
    re.IGNORECASE,
)
_CARRIERS = re.compile(r"::(dequantize|permute|transpose|t_copy|view|et_view|_clone|_to_dim_order|_to_copy)")
"""Operators that only reshape or dequantize: a constant that they read is the weight of the next operator."""


@dataclass(frozen=True)
class _Operator(Operator):
    delegated: bool


def describe(path: Path) -> Description:
    """What the program at `path` contains. Raises BundleError where it cannot be read."""
    with program_file.readable(path):
        return _Program(program_file.read(path)).description()


class _Program:
    """A program, and which of its stored data is already counted for an operator."""

    def __init__(self, file: Any) -> None:
        self.program: Any = file.program
        named = file.named_data
        self._named: Any = named.pte_data if named else {}
        self._buffers: Any = named.buffers if named else []
        self._claimed: set[object] = set()
        self._opaque: list[str] = []

    def description(self) -> Description:
        """Raises any error where the data is damaged."""
        plans = self.program.execution_plan
        operators = list(_numbered(each for plan in plans for each in self._operators(plan)))
        share, floats = quantized(
            [
                (each.name, each.weight.precision in _INTEGERS)
                for each in operators
                if each.weight and _WEIGHTED.search(each.kind)
            ]
        )
        return Description(
            format="executorch",
            inputs=tuple(self._tensors("inputs")),
            outputs=tuple(self._tensors("outputs")),
            operators=dict(Counter(each.kind for each in operators).most_common()),
            layers=layers(operators),
            quantized=share,
            kept_float=floats,
            delegated=self._delegated(operators),
            metadata=tuple(self._metadata()),
            outside=dict(Counter(each.kind for each in operators if not each.delegated).most_common()),
        )

    def _operators(self, plan: Any) -> Iterator[_Operator]:
        """Operators in order of execution; those of a delegate come where it is called."""
        carried: dict[int, list[Constant]] = {}
        for instruction in (each.instr_args for chain in plan.chains for each in chain.instructions):
            if type(instruction).__name__ == "DelegateCall":
                yield from self._inside(plan.delegates[instruction.delegate_index])
            elif type(instruction).__name__ == "KernelCall":
                operator = plan.operators[instruction.op_index]
                suffix = f".{operator.overload}" if operator.overload not in ("", "out") else ""
                constants = self._constants(plan, instruction.args, carried)
                if constants and _CARRIERS.search(operator.name):
                    carried[instruction.args[-1]] = constants  # the last argument is the output
                    constants = []
                yield _Operator("", operator.name + suffix, tuple(constants), delegated=False)

    def _constants(
        self, plan: Any, arguments: list[int], carried: dict[int, list[Constant]]
    ) -> list[Constant]:
        found: list[Constant] = []
        for argument in dict.fromkeys(arguments):
            value = plan.values[argument].val
            found += carried.get(argument, [])
            for item in [argument, *_items(value)]:
                tensor = plan.values[item].val
                if type(tensor).__name__ == "Tensor" and tensor.data_buffer_idx:
                    found.append(self._stored(tensor))
        return found

    def _stored(self, tensor: Any) -> Constant:
        """A stored tensor, of 0 bytes where an earlier operator has it too, or it is in another file."""
        dtype = dtype_name(tensor)
        precision = dtype.replace("bfloat", "bf").replace("float", "fp")
        width = int((re.findall(r"\d+", dtype) or [8])[0])
        outside = tensor.extra_tensor_info is not None and tensor.extra_tensor_info.location == 1
        key = (tensor.allocation_info is None, tensor.data_buffer_idx)
        size = 0 if outside else self._claim(key, math.prod(tensor.sizes) * width // 8)
        return Constant(precision, len(tensor.sizes), size)

    def _claim(self, key: object, size: int) -> int:
        """`size` for data that no earlier operator has, else 0."""
        if key in self._claimed:
            return 0
        self._claimed.add(key)
        return size

    def _inside(self, delegate: Any) -> Iterator[_Operator]:
        """The operators of a delegate; a single one, named as the delegate, where it cannot be decoded."""
        payload = self.program.backend_delegate_data[delegate.processed.index].data
        if delegate.id == "CoreMLBackend" and not coreml.availability().export:
            from edgepack.formats.executorch import core_ml

            for each in core_ml.operators(payload):
                yield _Operator("", each.kind, each.constants, delegated=True)
            return
        graph = xnnpack_graph.decoded(payload) if delegate.id == xnnpack_graph.BACKEND else None
        if graph is None:
            self._opaque.append(delegate.id)
            size = self._claim(("payload", delegate.processed.index), len(payload))
            yield _Operator("", delegate.id, (Constant("unknown", 0, size),), delegated=True)
            return
        entries = map(xnnpack_graph.value_and_scales, graph["xvalues"])
        values = {value["id_out"]: (value, scales) for value, scales in entries}
        for node in graph["xnodes"]:
            ends = node["xnode_union"]
            read = [ends[key] for key in ends if key.endswith("_id") and not key.startswith("output")]
            known = [values[each] for each in dict.fromkeys(read) if each in values]
            constants = [
                self._delegated_constant(value, scales, graph["constant_data"], delegate.processed.index)
                for value, scales in known
                if value["constant_buffer_idx"]
            ]
            yield _Operator("", node["xnode_union_type"], tuple(constants), delegated=True)

    def _delegated_constant(self, value: Any, scales: int, stored: Any, payload: int) -> Constant:
        total = 0
        for index in (value["constant_buffer_idx"], *((scales,) if scales else ())):
            key = stored[index]["named_key"]
            if not key or key in self._named:
                total += self._claim(key or (payload, index), stored[index]["size"])
        kind = value["datatype"].removeprefix("xnn_datatype_")
        return Constant(re.sub(r"^q[cb]?(?=u?int)", "", kind), value["num_dims"], total)

    def _delegated(self, operators: list[_Operator]) -> float | None:
        """Share of the operators that delegates run; None where a delegate's operators are not known."""
        inside = sum(each.delegated for each in operators)
        if self._opaque and inside < len(operators):
            return None
        return inside / len(operators) if operators else 0.0

    def _tensors(self, ends: str) -> Iterator[Tensor]:
        """Inputs or outputs of every method, with the method's name as prefix if there are several."""
        plans = self.program.execution_plan
        for plan in plans:
            prefix = f"{plan.name}." if len(plans) > 1 else ""
            for position, index in enumerate(getattr(plan, ends)):
                value = plan.values[index].val
                name = f"{prefix}{ends[:-1]}_{position}"
                if type(value).__name__ == "Tensor":
                    yield Tensor(name, dtype_name(value), tuple(value.sizes))
                else:
                    yield Tensor(name, type(value).__name__.lower(), ())

    def _metadata(self) -> Iterator[tuple[str, str]]:
        plans = self.program.execution_plan
        yield "version", str(self.program.version)
        yield "methods", ", ".join(plan.name for plan in plans)
        counts = Counter(delegate.id for plan in plans for delegate in plan.delegates)
        yield "delegates", ", ".join(f"{name} × {count}" for name, count in counts.items()) or "none"
        if any(
            type(plan.values[index].val).__name__ == "Tensor" and plan.values[index].val.shape_dynamism
            for plan in plans
            for index in plan.inputs
        ):
            yield "shapes", "upper bounds: an input may be smaller"
        if contract_metadata.KEY in self._named:
            yield (
                contract_metadata.KEY,
                bytes(self._buffers[self._named[contract_metadata.KEY].buffer_index]).decode(),
            )


def _numbered(operators: Iterable[_Operator]) -> Iterator[_Operator]:
    """Operators with names: their kind and a number, in order of execution."""
    seen: Counter[str] = Counter()
    for each in operators:
        seen[each.kind] += 1
        yield replace(each, name=f"{each.kind} #{seen[each.kind]}")


def _items(value: Any) -> list[int]:
    """The tensors in a list argument, without -1, which means none."""
    listed = type(value).__name__ in ("TensorList", "OptionalTensorList")
    return [item for item in value.items if item >= 0] if listed else []
