"""Reading and writing an `.onnx`, which both the float export and the quantizer do."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgepack.contract import Contract
from edgepack.formats import contract_metadata


def save(model: onnx.ModelProto, path: Path) -> None:
    """Save a model with only the operator sets that it uses, and the oldest IR version that these allow.

    Older runtimes refuse operator sets and IR versions that they do not know, used or not.
    """
    used = {"", *(node.domain for node in model.graph.node)}
    sets = [each for each in model.opset_import if each.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(sets)
    standard = [each for each in model.opset_import if each.domain in ("", "ai.onnx")]
    model.ir_version = onnx.helper.find_min_ir_version_for(standard)
    onnx.save(model, path)


def add_contract(path: Path, contract: Contract) -> None:
    """Add the contract to the metadata of a written model."""
    model = onnx.load(path)
    model.metadata_props.add(key=contract_metadata.KEY, value=contract_metadata.written(contract))
    onnx.save(model, path)
