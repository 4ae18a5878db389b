"""A package's features: what it takes and gives, from and to the contract's tensors.

The contract stands in the package as user-defined metadata, so that a package found alone explains itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from edgepack.arrays import Sample
from edgepack.contract import Contract, ImageInput
from edgepack.errors import BundleError
from edgepack.formats import contract_metadata

_NAMES = "edgepack.names"
"""User-defined metadata: features' names by the contract's where they differ, as JSON."""


@dataclass(frozen=True)
class Features:
    """What a package that edgepack wrote is given and answers."""

    contract: Contract
    names: Mapping[str, str]
    """A feature's name by the contract's, where Core ML reserves that word or takes no such letters."""

    def fed(self, sample: Sample) -> dict[str, Any]:
        """What `predict` takes for a sample: a PIL picture where the package takes pictures."""
        image = picture(self.contract)
        if image is None:
            return {self._called(each.name): array for each, array in zip(self.contract.inputs, sample)}
        scale, bias = (np.asarray(values).reshape(-1, 1, 1) for values in image.per_channel())
        values = sample[0][0] if image.layout == "NCHW" else sample[0][0].transpose(2, 0, 1)
        pixels = np.rint((values - bias) / scale).clip(0, 255).astype(np.uint8)
        if len(pixels) == 1:
            return {self._called(image.name): Image.fromarray(pixels[0])}
        red_first = pixels[::-1] if image.channels == "BGR" else pixels
        seen = Image.fromarray(np.ascontiguousarray(red_first.transpose(1, 2, 0)))
        return {self._called(image.name): seen}

    def answered(self, answers: Mapping[str, Any]) -> Sample:
        """What `predict` gave, as arrays in the contract's order."""
        labels = self.contract.classes.labels if self.contract.classes else ()
        if not labels:
            return tuple(np.asarray(answers[self._called(each.name)]) for each in self.contract.outputs)
        scores = next(each for each in answers.values() if isinstance(each, dict))
        return (np.asarray([[scores[label] for label in labels]], dtype=np.float32),)

    def _called(self, name: str) -> str:
        return self.names.get(name, name)

    def notes(self) -> tuple[str, ...]:
        """What is called otherwise than in the contract, in words."""
        told = [f"'{name}' is called '{called}'" for name, called in self.names.items()]
        return (f"{', '.join(told)}: Core ML takes no such name",) if told else ()


def picture(contract: Contract) -> ImageInput | None:
    """The input that becomes an `ImageType`: one picture, planes first or of 8 bits."""
    image = contract.image
    return image if image and (image.layout == "NCHW" or image.dtype == "uint8") else None


def write(model: Any, contract: Contract, activation: str) -> Features:
    """Put `contract`, and what the features of a converted model are called, into the model's metadata."""
    told = model.get_spec().description
    pairs = [*zip(contract.inputs, told.input, strict=True)]
    if not (contract.classes and contract.classes.labels):
        pairs += zip(contract.outputs, told.output, strict=True)  # type: ignore[arg-type]
    names = {each.name: feature.name for each, feature in pairs if each.name != feature.name}
    model.user_defined_metadata[contract_metadata.KEY] = contract_metadata.written(contract, activation)
    if names:
        model.user_defined_metadata[_NAMES] = json.dumps(names)
    return Features(contract, names)


def read(metadata: Mapping[str, str]) -> Features:
    """What `write` put into a package. Raises BundleError where there is no contract."""
    if contract_metadata.KEY not in metadata:
        raise BundleError("this package carries no contract: only edgepack's own can be run by it")
    contract = Contract.model_validate_json(metadata[contract_metadata.KEY])
    return Features(contract, json.loads(metadata.get(_NAMES, "{}")))
