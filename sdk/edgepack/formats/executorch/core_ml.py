"""The part of a `.pte` that Core ML runs: written on any host, taken out of the file, evaluated in torch.

A delegate's payload is a folder in one piece: the `.mlpackage`, and `metadata.json`, which names its
inputs and outputs in the order in which the program gives and takes them.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import coremltools as ct
import numpy as np
from executorch.backends.apple.coreml import executorchcoreml
from executorch.backends.apple.coreml.compiler.coreml_preprocess import CoreMLBackend
from executorch.backends.apple.coreml.partition.coreml_partitioner import CoreMLPartitioner
from executorch.exir.backend.backend_details import PreprocessResult

from edgepack.arrays import Array
from edgepack.emulator import coreml
from edgepack.errors import BundleError
from edgepack.formats.coreml import contents as coreml_contents
from edgepack.formats.coreml import convert, package
from edgepack.formats.coreml.capability_table import MIN_VALUES
from edgepack.formats.executorch import method, program_file
from edgepack.formats.executorch.method import Method
from edgepack.formats.weighted_operators import Operator
from edgepack.scheme import SCHEMES, SchemeName

BACKEND = "CoreMLBackend"
_FOLDER, _MODEL, _METADATA = "lowered_module", "model.mlpackage", "metadata.json"
_INT8 = {
    "mode": "linear_symmetric",
    "dtype": "int8",
    "granularity": "per_channel",
    "weight_threshold": MIN_VALUES - 1,  # coremltools quantizes weights of more values
}
Share = Literal["nothing", "some", "all"]


def partitioner(scheme: SchemeName, floor: str) -> CoreMLPartitioner:
    """What gives Core ML all that it takes, for devices from `floor` (`iOS17`) on."""
    is_wide = SCHEMES[scheme].is_float and not SCHEMES[scheme].is_half
    specs = CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=getattr(ct.target, floor),
        compute_precision=ct.precision.FLOAT32 if is_wide else ct.precision.FLOAT16,
        op_linear_quantizer_config=_INT8 if SCHEMES[scheme].weights == "integer" else None,
    )
    return CoreMLPartitioner(compile_specs=specs, take_over_mutable_buffer=floor >= "iOS18")


@contextmanager
def repeatable() -> Iterator[None]:
    """Let the same program give the same bytes.

    ExecuTorch (1.5.1) draws the identifier under which a device keeps the compiled model at random, and
    adds a map for its debugger that was a third of a small file; coremltools adds the date.
    """
    before = CoreMLBackend.preprocess_model
    CoreMLBackend.preprocess_model = staticmethod(_preprocessed)
    try:
        yield
    finally:
        CoreMLBackend.preprocess_model = staticmethod(before)


def _preprocessed(model: Any, model_type: object) -> PreprocessResult:
    """The payload of a delegate, its identifier the hash of the package."""
    del model_type
    model.user_defined_metadata.pop(convert.DATED, None)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / _FOLDER
        folder.mkdir()
        package.save(model, folder / _MODEL)
        files = sorted(each for each in folder.rglob("*") if each.is_file())
        told = hashlib.sha256(b"".join(each.read_bytes() for each in files)).hexdigest()
        metadata = {
            "inputNames": [each.name for each in model.get_spec().description.input],
            "outputNames": [each.name for each in model.get_spec().description.output],
            "identifier": f"executorch_{told[:32]}",
        }
        (folder / _METADATA).write_text(json.dumps(metadata), encoding="utf-8")
        return PreprocessResult(executorchcoreml.flatten_directory_contents(str(folder)))


@contextmanager
def unpacked(payload: bytes) -> Iterator[Path]:
    """The folder that a delegate's payload holds, while it is needed.

    Raises ValueError where it is none, and what is wrong with the package in it as a BundleError.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if not executorchcoreml.unflatten_directory_contents(payload, scratch):
            raise ValueError("its Core ML payload cannot be unpacked")
        folder = Path(scratch) / _FOLDER
        try:
            yield folder
        except BundleError as cause:
            raise BundleError(str(cause).replace(str(folder / _MODEL), "its Core ML part")) from cause


def operators(payload: bytes) -> list[Operator]:
    """The operations of a delegate's payload. Raises ValueError, or BundleError, where it is damaged."""
    with unpacked(payload) as folder:
        return coreml_contents.operators(folder / _MODEL)


def share(path: Path) -> Share:
    """How much of a program Core ML runs; nothing of one that cannot be read: the runtime says why."""
    try:
        plans = program_file.read(path).program.execution_plan
    except BundleError:
        return "nothing"
    if not any(each.id == BACKEND for plan in plans for each in plan.delegates):
        return "nothing"
    calls = [each.instr_args for plan in plans for chain in plan.chains for each in chain.instructions]
    return "all" if all(type(each).__name__ == "DelegateCall" for each in calls) else "some"


@dataclass(frozen=True)
class _Part:
    """What Core ML was given, run by the evaluator; its state is kept from run to run."""

    program: coreml.Program
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    state: coreml.State

    @property
    def input_count(self) -> int:
        return len(self.inputs)

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        found = self.program.run(dict(zip(self.inputs, inputs, strict=True)), state=self.state)
        return [np.asarray(found[name]) for name in self.outputs]


def load(path: Path) -> Method:
    """A program that Core ML runs, or a part of it.

    Raises BundleError where it cannot be read, or an operator outside that part cannot be run here.
    """
    file = program_file.read(path)
    plan = next((each for each in file.program.execution_plan if each.name == "forward"), None)
    if plan is None:
        raise BundleError(f"{path} has no method forward")
    with program_file.readable(path):
        return method.method(file, plan, lambda delegate: _part(file.program, delegate))


def _part(program: Any, delegate: Any) -> _Part:
    if delegate.id != BACKEND:
        raise BundleError(f"delegate {delegate.id} is not Core ML, and cannot be run without its own runtime")
    with unpacked(program.backend_delegate_data[delegate.processed.index].data) as folder:
        names = json.loads((folder / _METADATA).read_bytes())
        read = coreml.read(folder / _MODEL)
    return _Part(read, tuple(names["inputNames"]), tuple(names["outputNames"]), read.fresh_state())
