"""ONNX (`.onnx`) and ONNX Runtime's own form of it (`.ort`), int8 as QDQ.

The quantized form is the execution provider's: ONNX Runtime's CPU kernels want unsigned
activations; TensorRT takes symmetric int8 with float bias only.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.formats import format_options
from edgepack.formats.availability import Availability, missing
from edgepack.formats.description import Description
from edgepack.formats.onnx.options import Options
from edgepack.formats.protocol import Exported, Runner
from edgepack.options import PruneKind
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName
from edgepack.silence import quiet
from edgepack.target import Target

if TYPE_CHECKING:
    import onnx
    from torch.export import ExportedProgram

    from edgepack.arrays import Array, Sample
    from edgepack.contract import Contract
    from edgepack.model.source import Source

SUFFIX = ".onnx"
READS = (".onnx", ".ort")
SCHEMES: frozenset[SchemeName] = frozenset({"fp32", "fp16", "w8a8", "w8", "w8d"})
ABOUT = "ONNX, and ONNX Runtime's .ort with the operators that a reduced build needs"
EXTRA = "onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPTIONS = Options

_OLDEST_DYNAMO_OPSET = 18
"""What torch's exporter writes at least; older sets take its TorchScript-based one."""
_KEPT_METADATA = "pkg.torch.onnx.name_scopes"
"""Module path of a node; the rest of what torch writes beside it holds paths of this machine."""


def availability(path: Path | None = None) -> Availability:
    """ONNX Runtime both runs files and writes the `.ort`."""
    del path
    return Availability(export=missing(PACKAGES, EXTRA), run=missing(["onnxruntime"], EXTRA))


def variant(target: Target) -> str:
    """The execution provider, whose quantized form is written, and the operator set."""
    chosen = _options(target)
    return f"{chosen.provider}, opset {chosen.opset}"


def _options(target: Target) -> Options:
    return format_options.of(target, "onnx", Options)


def cannot_carry(scheme: SchemeName, target: Target) -> str:
    """Why files for a target cannot be of a scheme; empty if they can."""
    del target
    return "" if scheme in SCHEMES else f"onnx carries {', '.join(sorted(SCHEMES))}"


def no_gain(kind: PruneKind, target: Target) -> str:
    """Why a kind of pruning gains nothing: only TensorRT computes 2:4 zeros for less."""
    if kind == "channels" or (kind == "2:4" and _options(target).provider == "tensorrt"):
        return ""
    return "ONNX stores zeros like any other weight, and only TensorRT computes 2:4 for less"


def export(source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
    """Write the `.onnx`; for ONNX Runtime's CPU provider its `.ort` and operator list too."""
    provider = _options(target).provider
    with quiet():
        from edgepack.formats.onnx import quantize

        model = _float(source, _options(target).opset, path)
        notes = quantize.apply(model, source, recipe, provider, path)
        _sign(path, source.contract)
    if provider != "cpu":
        note = f"written for {provider}; run here by ONNX Runtime's CPU provider, not by {provider}"
        return Exported((path,), notes=(*notes, note), timed=False)
    ort = path.with_suffix(".ort")
    config = path.with_suffix(".required_operators.config")
    with quiet():
        _write_ort(path, ort)
        _write_operators(ort, config)
    return Exported((path, ort), (config,), notes=notes)


def _float(source: Source, opset: int, path: Path) -> onnx.ModelProto:
    """The float model; one export serves all sources that differ in their weights alone."""
    import onnx

    key = f"onnx, opset {opset}"
    before = source.cache.get(key, bytes)
    if before is not None:
        model = onnx.load_from_string(before)
        if _put_weights(model, source.exported):
            return model
    _write_float(source, path, opset)
    model = onnx.load(path)
    if before is None:
        source.cache.put(key, model.SerializeToString())
    return model


def _put_weights(model: onnx.ModelProto, program: ExportedProgram) -> bool:
    """Put a program's weights into a model of the same graph; whether it took all of them."""
    import onnx

    weights = {name: tensor.detach().numpy() for name, tensor in program.state_dict.items()}
    found = {each.name: each for each in model.graph.initializer if each.name in weights}
    if set(found) != set(weights):
        return False
    for name, initializer in found.items():
        if tuple(initializer.dims) != weights[name].shape:
            return False
        initializer.CopyFrom(onnx.numpy_helper.from_array(weights[name], name))
    return True


def _write_float(source: Source, path: Path, opset: int) -> None:
    import onnx
    import torch
    from torch.onnx.errors import OnnxExporterError

    from edgepack.formats import tracing
    from edgepack.formats.unsupported_operators import refusal

    contract = source.contract
    legacy = opset < _OLDEST_DYNAMO_OPSET
    model: Any = tracing.traced(source.exported, source.example) if legacy else source.free
    try:
        with quiet():
            torch.onnx.export(
                model,
                source.example if legacy else (),
                str(path),
                dynamo=not legacy,
                opset_version=opset,
                input_names=[each.name for each in contract.inputs],
                output_names=[each.name for each in contract.outputs],
                external_data=False,
                verbose=False,
            )
    except (OnnxExporterError, RuntimeError, ValueError) as cause:
        raise refusal("onnx", source.exported, cause) from cause
    written = onnx.load(path)
    _strip(written)
    _name_dims(written, contract)
    save(written, path)


def save(model: onnx.ModelProto, path: Path) -> None:
    """Save with the operator sets in use alone, and the oldest IR version that these allow.

    Older runtimes refuse what they do not know, used or not.
    """
    import onnx

    used = {"", *(node.domain for node in model.graph.node)}
    sets = [each for each in model.opset_import if each.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(sets)
    standard = [each for each in model.opset_import if each.domain in ("", "ai.onnx")]
    model.ir_version = onnx.helper.find_min_ir_version_for(standard)
    onnx.save(model, path)


def _sign(path: Path, contract: Contract) -> None:
    """Put the contract into the metadata of a written model."""
    import onnx

    from edgepack.formats import contract_metadata

    model = onnx.load(path)
    model.metadata_props.add(key=contract_metadata.KEY, value=contract_metadata.written(contract))
    onnx.save(model, path)


def _name_dims(model: onnx.ModelProto, contract: Contract) -> None:
    """Call the free dimensions as the contract does, not as torch numbered them."""
    names = {
        dim.dim_param: wanted
        for given, each in zip(model.graph.input, contract.inputs)
        for dim, wanted in zip(given.type.tensor_type.shape.dim, each.shape)
        if dim.dim_param and isinstance(wanted, str)
    }
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]


def _strip(model: onnx.ModelProto) -> None:
    """Drop what torch wrote of the machine that exported: source paths and stack traces."""
    holders = [model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer]
    holders += [*model.graph.input, *model.graph.output]
    for function in model.functions:
        holders += [function, *function.node]
    for holder in holders:
        kept = [each for each in holder.metadata_props if each.key == _KEPT_METADATA]
        del holder.metadata_props[:]
        holder.metadata_props.extend(kept)
        holder.doc_string = ""


def session_options() -> Any:
    """ONNX Runtime's session options: one thread, no log below an error."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # else ONNX Runtime writes a device id and uploads
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = 1
    chosen.inter_op_num_threads = 1
    chosen.log_severity_level = 3
    return chosen


def _write_ort(path: Path, ort: Path) -> None:
    """The model as ONNX Runtime saves it once optimized; no layout of this host's CPU goes in."""
    import onnxruntime

    chosen = session_options()
    chosen.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    chosen.optimized_model_filepath = str(ort)
    chosen.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(path), chosen, providers=["CPUExecutionProvider"])


def _write_operators(ort: Path, config: Path) -> None:
    """The operators that a reduced build of ONNX Runtime must hold to run `ort`."""
    from onnxruntime.tools.ort_format_model import create_config_from_models

    create_config_from_models([ort], config, enable_type_reduction=True)
    lines = [line for line in config.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    config.write_text("\n".join(["# operators that " + ort.name + " needs", *lines]) + "\n", encoding="utf-8")


def import_runtime() -> None:
    """Bring the bare runtime into memory."""
    session_options()


class _Session:
    """An `.onnx` or `.ort` in ONNX Runtime's CPU provider."""

    def __init__(self, path: Path) -> None:
        chosen = session_options()
        import onnxruntime

        self._session = onnxruntime.InferenceSession(str(path), chosen, providers=["CPUExecutionProvider"])
        self._names = [each.name for each in self._session.get_inputs()]

    def __call__(self, sample: Sample) -> tuple[Array, ...]:
        return tuple(self._session.run(None, dict(zip(self._names, sample))))


def load(path: Path) -> Runner:
    """The file in ONNX Runtime, one thread."""
    return _Session(path)


def describe(path: Path) -> Description:
    """What the file holds. Raises BundleError where it cannot be read."""
    from edgepack.formats.onnx import contents

    with quiet():
        return contents.describe(path)
