"""Programs made by hand with coremltools' builder, written and read back."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgepack.silence import quiet

with quiet():
    import coremltools as ct
    from coremltools.converters.mil.mil import Function, Program

    from edgepack.emulator import coreml
    from edgepack.emulator.coreml.operation import Inputs, Value

gc.freeze()  # coremltools collects garbage on each conversion: half a second over its own modules


def given(**values: Value | None) -> Inputs:
    """What an operation is handed, no input of it a constant."""
    return Inputs(values)


def written(body: Callable[..., Any], specs: Mapping[str, Any], opset: int, path: Path) -> None:
    """Save the program whose function gives what `body` gives of placeholders `specs`, as it stands."""
    program = Program()
    target = getattr(ct.target, f"iOS{opset}")
    with quiet():
        with Function(dict(specs), opset_version=target) as function:
            results = body(**function.inputs)
            function.set_outputs(list(results) if isinstance(results, (tuple, list)) else [results])
        program.add_function("main", function)
        ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=target,
            compute_precision=ct.precision.FLOAT32,
            pass_pipeline=ct.PassPipeline.EMPTY,
            skip_model_load=True,
        ).save(str(path))


def read(body: Callable[..., Any], specs: Mapping[str, Any], opset: int = 15) -> coreml.Program:
    """The same, read back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.mlpackage"
        written(body, specs, opset, path)
        with quiet():
            return coreml.read(path)
