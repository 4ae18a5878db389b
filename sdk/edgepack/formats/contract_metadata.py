"""The contract inside a model file, so that the file can be used without its bundle.

It is JSON under one key: in the metadata of an `.onnx`, `.ort` and `.mlpackage`, in a named data entry of a
`.pte`, in an extra file of a `.ptl`.
"""

from __future__ import annotations

import json
from dataclasses import replace

from pydantic import ValidationError

from edgepack.contract import Contract, Output
from edgepack.formats.description import Description

KEY = "edgepack.contract"


def written(contract: Contract, activation: str = "none") -> str:
    """The contract as JSON for a file that applies `activation` itself: the app does not apply it again."""
    fields = left(contract, activation).model_dump(mode="json", exclude_defaults=True)
    numbered = {"schema_number": contract.schema_number, **fields}
    return json.dumps(numbered, ensure_ascii=False, separators=(",", ":"))


def left(contract: Contract, activation: str) -> Contract:
    """The contract of a file that applies `activation` to its first output itself."""
    if activation == "none":
        return contract
    first = Output.model_validate({**contract.outputs[0].model_dump(), "activation": "none"})
    return contract.model_copy(update={"outputs": (first, *contract.outputs[1:])})


def explained(found: Description) -> Description:
    """`found` with the contract from its metadata, if there is a valid one of this schema."""
    written = dict(found.metadata).get(KEY)
    if written is None:
        return found
    try:
        contract = Contract.model_validate_json(written)
    except ValidationError:
        return found
    rest = tuple(pair for pair in found.metadata if pair[0] != KEY)
    return replace(found, contract=contract, metadata=rest)
