"""ML Programs of `.mlpackage` and `.mlmodel` files: read once, run often.

coremltools' own reader gives the operations with their defaults; shapes are those of the run, not those
that it infers.
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
"""What a function keeps from run to run, by name."""

_OPSETS = {"CoreML5": 15, "CoreML6": 16, "CoreML7": 17, "CoreML8": 18}
_VERSIONS = {15: 6, 16: 7, 17: 8, 18: 9}
"""The specification version that brought each opset."""
_WEIGHTS = "weights"


@dataclass(frozen=True)
class Function:
    """One of a program's functions."""

    name: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    planned: ExecutionPlan

    def fresh_state(self) -> State:
        """All zeros, as Core ML makes it; empty where the function keeps none."""
        shapes, dtypes = self.planned.states, self.planned.dtypes
        empty = {name: torch.zeros(shape) for name, shape in shapes.items()}
        return {name: interpreter.typed(value, dtypes[name]) for name, value in empty.items()}

    def run(self, inputs: Mapping[str, Any], state: State | None, watch: Watch | None) -> dict[str, Any]:
        """Outputs by name, as Core ML's `predict` gives them. See `Program.run`."""
        given = {**self._fed(inputs), **self._held(state)}
        values: Values = dict(self.planned.constants)
        if watch is not None:
            for name, value in given.items():
                interpreter.tell(watch, name, value)
        with torch.no_grad():
            entries = [given[name] for name in self.planned.inputs]
            results = interpreter.run(self.planned.block, values, watch, *entries)
        found = dict(zip(self.planned.outputs, results, strict=True))
        return {each.name: each.answer(found[each.name]) for each in self.outputs}

    def _fed(self, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        if unknown := inputs.keys() - {each.name for each in self.inputs}:
            raise BundleError(f"'{self.name}' has no input {', '.join(sorted(unknown))}")
        fed = {}
        for each in self.inputs:
            if each.name not in inputs and not each.optional:
                raise BundleError(f"input '{each.name}' of '{self.name}' is not given")
            value = each.tensor(inputs[each.name]) if each.name in inputs else each.filled()
            fed[each.name] = interpreter.typed(value, self.planned.dtypes[each.name])
        return fed

    def _held(self, state: State | None) -> State:
        if self.planned.states and state is None:
            raise BundleError(f"'{self.name}' keeps state: give it one that fresh_state() made")
        return {name: (state or {})[name] for name in self.planned.states}


@dataclass(frozen=True)
class Program:
    """A model of ML Program kind."""

    functions: Mapping[str, Function]
    default: str
    """The function that is run where none is named."""
    metadata: Mapping[str, str]
    """What its author put in, by key."""

    def fresh_state(self, function: str = "") -> State:
        """A state to hand to every run of `function` that shall remember the runs before it."""
        return self._function(function).fresh_state()

    def run(
        self,
        inputs: Mapping[str, Any],
        function: str = "",
        state: State | None = None,
        watch: Watch | None = None,
    ) -> dict[str, Any]:
        """Outputs by name, as Core ML's `predict` gives them.

        inputs: by name, arrays and, where the model takes pictures, PIL pictures.
        state: changed by the run.
        watch: told every float by the name of its value, inputs too.
        Raises BundleError where inputs do not fit, or an operation cannot be computed, which it names.
        """
        return self._function(function).run(inputs, state, watch)

    def _function(self, name: str) -> Function:
        name = name or self.default
        if name not in self.functions:
            raise BundleError(f"there is no function '{name}'; there are {', '.join(self.functions)}")
        return self.functions[name]


def read(path: Path) -> Program:
    """The program in a file. Raises BundleError where it is none, or has an operation that is not known."""
    spec, folder = specification(path)
    kind = spec.WhichOneof("Type")
    if kind != "mlProgram":
        raise BundleError(
            f"{path} is of the kind {kind}; only ML Programs are evaluated",
            hint="a model converted for iOS 15 or later is one",
        )
    return _program(spec, folder / _WEIGHTS, path)


def _program(spec: Any, weights: Path, path: Path) -> Program:
    program, told = spec.mlProgram, spec.description
    described = {each.name: each for each in told.functions} or {"main": told}
    default = told.defaultFunctionName or next(iter(described))
    functions = {}
    for name, function in program.functions.items():
        _check(function, name)
        opset = _opset(function.opset, name)
        planned = execution_plan.plan_function(
            _loaded(program, name, opset, weights, path), ops.table(), opset
        )
        here = described[name]
        given, answers = (tuple(map(feature.read_feature, some)) for some in (here.input, here.output))
        functions[name] = Function(name, given, answers, planned)
    return Program(functions, default, dict(told.metadata.userDefined))


def _opset(name: str, function: str) -> int:
    if name not in _OPSETS:
        raise BundleError(f"function '{function}' is of the opset {name}; known are {', '.join(_OPSETS)}")
    return _OPSETS[name]


def _loaded(program: Any, name: str, opset: int, weights: Path, path: Path) -> Any:
    """One function as pymil, by the rules of its own opset."""
    alone = MIL_pb2.Program(version=program.version)
    alone.functions[name].CopyFrom(program.functions[name])
    try:
        with quiet():
            return load.load_mil_proto(alone, _VERSIONS[opset], str(weights)).functions[name]
    except Exception as cause:  # damaged bytes end in any error of coremltools
        raise BundleError(f"{path}: function '{name}' cannot be read: {cause}") from cause


def _check(function: Any, name: str) -> None:
    """Raise BundleError where an operation is neither in the table nor a constant."""
    known = ops.table()
    for block in function.block_specializations.values():
        for operation in _operations(block):
            kind = operation.type
            if kind not in known and not _constant(kind):
                told = operation.attributes["name"].immediateValue.tensor.strings.values
                where = told[0] if told else operation.outputs[0].name
                raise BundleError(
                    f"operation '{kind}' is not known; '{where}' of function '{name}' is one",
                    hint="the README names the operations that are not evaluated",
                )


_TRANSLATED = "write_state"
"""coremltools' reader makes coreml_update_state of it."""


def _constant(kind: str) -> bool:
    return kind in ("const", _TRANSLATED) or kind.startswith("constexpr_")


def _operations(block: Any) -> Iterator[Any]:
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from _operations(inner)
