"""Read ML Programs from `.mlpackage` and `.mlmodel` files, and run their functions.

The reader of coremltools supplies operations and their default inputs. Shapes are those of the run, not those
that coremltools infers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from coremltools.converters.mil.frontend.milproto import load
from coremltools.proto import MIL_pb2

from edgepack.emulator.coreml import execution_plan, feature, interpreter, ops
from edgepack.emulator.coreml.execution_plan import ExecutionPlan
from edgepack.emulator.coreml.feature import Feature
from edgepack.emulator.coreml.interpreter import Values, Watch
from edgepack.emulator.coreml.specification import specification
from edgepack.errors import BundleError
from edgepack.silence import quiet

State: TypeAlias = dict[str, torch.Tensor]
"""The states of a function, by name; kept between runs."""

_OPSETS = {"CoreML5": 15, "CoreML6": 16, "CoreML7": 17, "CoreML8": 18}
_VERSIONS = {15: 6, 16: 7, 17: 8, 18: 9}
"""Specification version of each opset."""
_WEIGHTS = "weights"


@dataclass(frozen=True)
class Function:
    """A function of a program."""

    name: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    planned: ExecutionPlan

    def fresh_state(self) -> State:
        """States of zeros, as in Core ML; empty if the function has none."""
        shapes, dtypes = self.planned.states, self.planned.dtypes
        empty = {name: torch.zeros(shape) for name, shape in shapes.items()}
        return {name: interpreter.typed(value, dtypes[name]) for name, value in empty.items()}

    def run(self, inputs: Mapping[str, Any], state: State | None, watch: Watch | None) -> dict[str, Any]:
        """Outputs by name. See `Program.run`."""
        arguments = {**self._tensors(inputs), **self._states(state)}
        values: Values = dict(self.planned.constants)
        if watch is not None:
            for name, value in arguments.items():
                interpreter.report(watch, name, value)
        with torch.no_grad():
            entries = [arguments[name] for name in self.planned.inputs]
            results = interpreter.run(self.planned.block, values, watch, *entries)
        by_name = dict(zip(self.planned.outputs, results, strict=True))
        return {entry.name: entry.output(by_name[entry.name]) for entry in self.outputs}

    def _tensors(self, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        if unknown := inputs.keys() - {entry.name for entry in self.inputs}:
            raise BundleError(f"'{self.name}' has no input {', '.join(sorted(unknown))}")
        tensors = {}
        for entry in self.inputs:
            if entry.name not in inputs and not entry.optional:
                raise BundleError(f"input '{entry.name}' of '{self.name}' is missing")
            value = entry.tensor(inputs[entry.name]) if entry.name in inputs else entry.filled()
            tensors[entry.name] = interpreter.typed(value, self.planned.dtypes[entry.name])
        return tensors

    def _states(self, state: State | None) -> State:
        if self.planned.states and state is None:
            raise BundleError(f"'{self.name}' has states: pass a state from fresh_state()")
        return {name: (state or {})[name] for name in self.planned.states}


@dataclass(frozen=True)
class Program:
    """An ML Program."""

    functions: Mapping[str, Function]
    default: str
    """The function that runs by default."""
    metadata: Mapping[str, str]
    """User-defined metadata, by key."""

    def fresh_state(self, function: str = "") -> State:
        """A new state of `function`, to be passed to each of its runs."""
        return self._function(function).fresh_state()

    def run(
        self,
        inputs: Mapping[str, Any],
        function: str = "",
        state: State | None = None,
        watch: Watch | None = None,
    ) -> dict[str, Any]:
        """Outputs by name, as in `predict` of Core ML.

        inputs: arrays and PIL images, by name.
        state: modified by the run.
        watch: called with the name and value of each float tensor, inputs too.
        Raises BundleError if inputs do not match, or with the name of an operation that fails.
        """
        return self._function(function).run(inputs, state, watch)

    def _function(self, name: str) -> Function:
        name = name or self.default
        if name not in self.functions:
            raise BundleError(f"there is no function '{name}'; there are {', '.join(self.functions)}")
        return self.functions[name]


def read(path: Path) -> Program:
    """Read a file. Raises BundleError if it is not an ML Program, or has an unknown operation."""
    spec, folder = specification(path)
    kind = spec.WhichOneof("Type")
    if kind != "mlProgram":
        raise BundleError(
            f"{path} has the model type {kind}; only ML Programs can be evaluated",
            hint="convert the model for iOS 15 or later",
        )
    return _program(spec, folder / _WEIGHTS, path)


def _program(spec: Any, weights: Path, path: Path) -> Program:
    program, description = spec.mlProgram, spec.description
    descriptions = {entry.name: entry for entry in description.functions} or {"main": description}
    default = description.defaultFunctionName or next(iter(descriptions))
    functions = {}
    for name, function in program.functions.items():
        _check(function, name)
        opset = _opset(function.opset, name)
        loaded = _load(program, name, opset, weights, path)
        functions[name] = Function(
            name,
            inputs=tuple(feature.read_feature(entry) for entry in descriptions[name].input),
            outputs=tuple(feature.read_feature(entry) for entry in descriptions[name].output),
            planned=execution_plan.plan_function(loaded, ops.table(), opset),
        )
    return Program(functions, default, dict(description.metadata.userDefined))


def _opset(name: str, function: str) -> int:
    if name not in _OPSETS:
        raise BundleError(f"function '{function}' has the opset {name}; known are {', '.join(_OPSETS)}")
    return _OPSETS[name]


def _load(program: Any, name: str, opset: int, weights: Path, path: Path) -> Any:
    """One function as a pymil `Function`, read by the rules of its opset."""
    single = MIL_pb2.Program(version=program.version)
    single.functions[name].CopyFrom(program.functions[name])
    try:
        with quiet():
            return load.load_mil_proto(single, _VERSIONS[opset], str(weights)).functions[name]
    except Exception as cause:  # coremltools raises any exception for a damaged file
        raise BundleError(f"{path}: function '{name}' cannot be read: {cause}") from cause


def _check(function: Any, name: str) -> None:
    """Raise BundleError for an operation that is neither in the table nor a constant."""
    known = ops.table()
    for block in function.block_specializations.values():
        for operation in _operations(block):
            kind = operation.type
            if kind not in known and not _is_constant(kind):
                names = operation.attributes["name"].immediateValue.tensor.strings.values
                example = names[0] if names else operation.outputs[0].name
                raise BundleError(
                    f"operation '{kind}' is not known; '{example}' of function '{name}' is one",
                    hint="the documentation lists the operations that are evaluated",
                )


_TRANSLATED = "write_state"
"""The reader of coremltools translates it to coreml_update_state."""


def _is_constant(kind: str) -> bool:
    return kind in ("const", _TRANSLATED) or kind.startswith("constexpr_")


def _operations(block: Any) -> Iterator[Any]:
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from _operations(inner)
