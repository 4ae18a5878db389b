"""The contract in a model file, so that a file found alone explains itself.

It stands, as JSON, under one key where each format has a place: metadata of an `.onnx`, `.ort` and
`.mlpackage`, a named data entry of a `.pte`, an extra file of a `.ptl`.
"""

from __future__ import annotations

import json
from dataclasses import replace

from pydantic import ValidationError

from edgepack.contract import Contract, Output
from edgepack.formats.description import Description

KEY = "edgepack.contract"


def written(contract: Contract, activation: str = "none") -> str:
    """`contract` as a file holds it; of one that applies `activation` itself, without it."""
    told = left(contract, activation).model_dump(mode="json", exclude_defaults=True)
    numbered = {"schema_number": contract.schema_number, **told}
    return json.dumps(numbered, ensure_ascii=False, separators=(",", ":"))


def left(contract: Contract, activation: str) -> Contract:
    """What an app has still to do where the file itself applies an activation to its first output."""
    if activation == "none":
        return contract
    first = Output.model_validate({**contract.outputs[0].model_dump(), "activation": "none"})
    return contract.model_copy(update={"outputs": (first, *contract.outputs[1:])})


def explained(found: Description) -> Description:
    """`found` with the contract that its metadata holds, if that is one of this schema."""
    told = dict(found.metadata).get(KEY)
    if told is None:
        return found
    try:
        contract = Contract.model_validate_json(told)
    except ValidationError:
        return found
    rest = tuple(pair for pair in found.metadata if pair[0] != KEY)
    return replace(found, contract=contract, metadata=rest)
