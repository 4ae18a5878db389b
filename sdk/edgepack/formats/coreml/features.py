"""The features of a package, which are its inputs and outputs: converted from and to the contract's tensors.

The package has the contract in its user-defined metadata.
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
"""Key of the user-defined metadata with the names of features by the contract's names where they differ,
as JSON."""


@dataclass(frozen=True)
class Features:
    """The inputs and outputs of a package that edgepack wrote."""

    contract: Contract
    names: Mapping[str, str]
    """The name of a feature by the contract's name, where Core ML does not allow the latter."""

    def inputs_of(self, sample: Sample) -> dict[str, Any]:
        """The inputs of `predict` for a sample: a PIL image where the package has an image input."""
        image = image_input(self.contract)
        if image is None:
            return {
                self._feature(each.name): array.astype(each.dtype, copy=False)
                for each, array in zip(self.contract.inputs, sample)
            }
        scale, bias = (np.asarray(values).reshape(-1, 1, 1) for values in image.per_channel())
        values = sample[0][0] if image.layout == "NCHW" else sample[0][0].transpose(2, 0, 1)
        pixels = np.rint((values - bias) / scale).clip(0, 255).astype(np.uint8)
        if len(pixels) == 1:
            return {self._feature(image.name): Image.fromarray(pixels[0])}
        red_first = pixels[::-1] if image.channels == "BGR" else pixels
        return {
            self._feature(image.name): Image.fromarray(np.ascontiguousarray(red_first.transpose(1, 2, 0)))
        }

    def outputs_of(self, predicted: Mapping[str, Any]) -> Sample:
        """What `predict` returned, as arrays in the contract's order; scores as float32 [1, labels]."""
        labels = class_labels(self.contract)
        if not labels:
            return tuple(np.asarray(predicted[self._feature(each.name)]) for each in self.contract.outputs)
        scores = next(each for each in predicted.values() if isinstance(each, dict))
        return (np.asarray([[scores[label] for label in labels]], dtype=np.float32),)

    def _feature(self, name: str) -> str:
        return self.names.get(name, name)

    def notes(self) -> tuple[str, ...]:
        """A sentence on the names that differ from the contract's."""
        renamed = [f"'{name}' is called '{feature}'" for name, feature in self.names.items()]
        return (f"{', '.join(renamed)}: Core ML takes no such name",) if renamed else ()


def class_labels(contract: Contract) -> tuple[str, ...]:
    """The labels of a package that is a Core ML classifier, which has no output but its scores; else none."""
    classes = contract.classes
    return classes.labels if classes and len(contract.outputs) == 1 else ()


def image_input(contract: Contract) -> ImageInput | None:
    """The input that becomes an `ImageType`: an image in NCHW or of uint8; None where there is none."""
    image = contract.image
    return image if image and (image.layout == "NCHW" or image.dtype == "uint8") else None


def taken(contract: Contract) -> Contract:
    """The contract of a package: int32 in the place of uint8, which Core ML takes no tensors of."""
    if image_input(contract):
        return contract
    inputs = tuple(
        each.model_copy(update={"dtype": "int32"}) if each.dtype == "uint8" else each
        for each in contract.inputs
    )
    return contract if inputs == contract.inputs else contract.model_copy(update={"inputs": inputs})


def widened(contract: Contract) -> tuple[str, ...]:
    """Sentences on the inputs that have another type than the contract's."""
    pairs = zip(contract.inputs, taken(contract).inputs)
    return tuple(
        f"input '{mine.name}' is int32 in this file: Core ML takes no {mine.dtype} tensors"
        for mine, theirs in pairs
        if mine.dtype != theirs.dtype
    )


def write(model: Any, contract: Contract, activation: str) -> Features:
    """Add the contract and the names of the features to the metadata of a converted model."""
    description = model.get_spec().description
    pairs = [*zip(contract.inputs, description.input, strict=True)]
    if not class_labels(contract):
        pairs += zip(contract.outputs, description.output, strict=True)  # type: ignore[arg-type]
    names = {each.name: feature.name for each, feature in pairs if each.name != feature.name}
    model.user_defined_metadata[contract_metadata.KEY] = contract_metadata.written(contract, activation)
    if names:
        model.user_defined_metadata[_NAMES] = json.dumps(names)
    return Features(contract, names)


def read(metadata: Mapping[str, str]) -> Features:
    """The features of a package by its metadata. Raises BundleError where there is no contract."""
    if contract_metadata.KEY not in metadata:
        raise BundleError("this package carries no contract: only edgepack's own can be run by it")
    contract = Contract.model_validate_json(metadata[contract_metadata.KEY])
    return Features(contract, json.loads(metadata.get(_NAMES, "{}")))
