"""One operation of a MIL program: computed from a written file, and by coremltools' own value inference."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from edgepack.silence import quiet

with quiet():
    import coremltools as ct
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import Function, Program, types

    from edgepack.emulator import coreml

Inputs: TypeAlias = Mapping[str, np.ndarray | Sequence[np.ndarray]]
Constants: TypeAlias = dict[str, Any]
"""Constant inputs of an operation, by name: numbers, texts and arrays."""
gc.freeze()  # coremltools collects garbage on each conversion: half a second over its own modules
_BORDER = {"fp16", "fp32", "int32"}
"""Types that a model may take and give; others are cast at its border."""


def computed(kind: str, inputs: Inputs, opset: int = 15, **settings: Any) -> list[np.ndarray]:
    """What the evaluator gives for `inputs`, which are the file's inputs; settings are its constants."""
    flat = {f"{name}_{at}": each for name, held in inputs.items() for at, each in enumerate(_several(held))}

    def body(**fed: Any) -> Any:
        given = {name: _given(name, held, fed) for name, held in inputs.items()}
        results = getattr(mb, kind)(**given, **settings)
        return tuple(_cast(each) for each in (results if isinstance(results, (tuple, list)) else [results]))

    with quiet(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.mlpackage"
        _model(body, flat, opset).save(str(path))
        program = coreml.read(path)
    function = program.functions["main"]
    given = program.run({name: np.asarray(each) for name, each in flat.items()})
    return [given[each.name] for each in function.outputs]


def inferred(kind: str, inputs: Inputs, opset: int = 15, **settings: Any) -> list[np.ndarray]:
    """What coremltools itself gives for the same, folding constants."""
    found: list[Any] = []

    def body() -> Any:
        results = getattr(mb, kind)(**inputs, **settings)
        found.extend(results if isinstance(results, (tuple, list)) else [results])
        return mb.identity(x=np.float32(0))

    with quiet():
        mb.program(input_specs=[], opset_version=_target(opset))(body)
    return [np.asarray(each.val) for each in found]


def agree(kind: str, inputs: Inputs, opset: int = 15, **settings: Any) -> None:
    """Both, compared: shapes, and values within what float32 leaves."""
    for ours, theirs in zip(
        computed(kind, inputs, opset, **settings), inferred(kind, inputs, opset, **settings), strict=True
    ):
        same(ours, theirs)


def same(ours: np.ndarray, theirs: Any, tolerance: float = 1e-5) -> None:
    """Fails where shapes differ, or a value by more than `tolerance`, absolute and relative."""
    expected = np.asarray(theirs)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, atol=tolerance, rtol=tolerance)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers, always the same."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _several(held: Any) -> Sequence[np.ndarray]:
    return held if isinstance(held, (tuple, list)) else [held]


def _given(name: str, held: Any, fed: Mapping[str, Any]) -> Any:
    """The program's own variables in the place of an input, in the type that it was given in."""
    values = []
    for at, each in enumerate(_several(held)):
        value, wanted = fed[f"{name}_{at}"], _name(each)
        values.append(value if wanted in _BORDER else mb.cast(x=value, dtype=wanted))
    return values if isinstance(held, (tuple, list)) else values[0]


def _cast(result: Any) -> Any:
    name = types.builtin_to_string(result.dtype)
    return result if name in _BORDER else mb.cast(x=result, dtype="int32")


def _name(array: np.ndarray) -> str:
    name: str = types.builtin_to_string(types.numpy_type_to_builtin_type(np.asarray(array).dtype.type))
    return name


def _target(opset: int) -> Any:
    return getattr(ct.target, f"iOS{opset}")


def _model(body: Any, inputs: Mapping[str, np.ndarray], opset: int) -> Any:
    """A model whose inputs have the arrays' shapes; names of the body's arguments are theirs."""
    specs = {
        name: mb.placeholder(
            shape=np.shape(each),
            dtype=types.string_to_builtin(_name(each) if _name(each) in _BORDER else "int32"),
        )
        for name, each in inputs.items()
    }
    program = Program()
    with Function(specs, opset_version=_target(opset)) as function:
        results = body(**function.inputs)
        function.set_outputs(list(results))
    program.add_function("main", function)
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=_target(opset),
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline.EMPTY,
        skip_model_load=True,
    )
