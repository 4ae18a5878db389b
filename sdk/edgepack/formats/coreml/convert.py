"""Conversion to Core ML, and between the contract's tensors and what a package takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import coremltools as ct
import coremltools.optimize.coreml as cto
import numpy as np
import torch
from PIL import Image

from edgepack.contract import Contract, ImageInput
from edgepack.errors import BundleError
from edgepack.formats import Exported, _graph
from edgepack.formats._operators import refusal
from edgepack.recipe import Recipe
from edgepack.samples import Sample
from edgepack.source import Source

_PALETTE_BITS = 6
_COLOURS = {"RGB": "RGB", "BGR": "BGR", "L": "GRAYSCALE"}
_CONTRACT = "edgepack.contract"
"""User-defined metadata: the contract as JSON, so that a package found alone explains itself."""
_DATED = "com.github.apple.coremltools.conversion_date"


class _Shell(torch.nn.Module):
    """The model behind the part of pre-processing that Core ML's `ImageType` cannot express."""

    scale: torch.Tensor | None
    bias: torch.Tensor | None

    def __init__(self, contract: Contract, picture: ImageInput | None) -> None:
        super().__init__()
        self.activation = _activation(contract)
        self.scale, self.bias = None, None
        if picture:
            scale, bias = picture.per_channel()
            self.scale = torch.tensor(scale).reshape(1, -1, 1, 1)
            self.bias = torch.tensor(bias).reshape(1, -1, 1, 1)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...] | torch.Tensor:
        if self.scale is not None and self.bias is not None:
            inputs = (inputs[0] * self.scale + self.bias,)
        outputs: tuple[torch.Tensor, ...] = self.get_submodule("model")(*inputs)
        first = outputs[0]
        if self.activation == "softmax":
            first = torch.softmax(first, dim=-1)
        elif self.activation == "sigmoid":
            first = torch.sigmoid(first)
        return (first, *outputs[1:]) if len(outputs) > 1 else first


def write(source: Source, recipe: Recipe, floor: str, path: Path) -> Exported:
    """Write the package for iOS `floor`. Raises ExportError, naming the operator it cannot carry."""
    picture = _picture(source.contract)
    try:
        script = _graph.traced(source.exported, source.example, _Shell(source.contract, picture))
        model = _compressed(_converted(script, source, recipe, floor, picture), recipe)
        model.user_defined_metadata[_CONTRACT] = source.contract.model_dump_json()
        model.user_defined_metadata.pop(_DATED, None)  # the same input gives the same file
        model.save(str(path))
    except (RuntimeError, ValueError, TypeError, NotImplementedError, KeyError, AssertionError) as cause:
        raise refusal("coreml", source.exported, cause) from cause
    notes = _notes(source.contract, picture)
    return Exported((path,), notes=notes, activation=_activation(source.contract))


def _picture(contract: Contract) -> ImageInput | None:
    """The input that becomes an `ImageType`: one picture, planes first."""
    return contract.image if contract.image and contract.image.layout == "NCHW" else None


def _activation(contract: Contract) -> str:
    """The activation that goes into the program: a classifier's, if it has labels to score."""
    classes = contract.classes
    return classes.activation if classes and classes.labels else "none"


def _notes(contract: Contract, picture: ImageInput | None) -> tuple[str, ...]:
    notes = []
    if picture:
        notes.append("takes the picture itself: scaling, mean and std are inside")
    if _activation(contract) != "none":
        notes.append(f"{_activation(contract)} is inside: its scores are probabilities")
    if contract.free_dims:
        notes.append(f"{', '.join(contract.free_dims)} is 1 in this file")
    return tuple(notes)


def _converted(
    script: torch.jit.ScriptModule,
    source: Source,
    recipe: Recipe,
    floor: str,
    picture: ImageInput | None,
) -> Any:
    contract = source.contract
    labels = contract.classes.labels if contract.classes else ()
    precision = ct.precision.FLOAT32 if recipe.scheme == "fp32" else ct.precision.FLOAT16
    outputs = None if labels else [ct.TensorType(name=each.name) for each in contract.outputs]
    return ct.convert(
        script,
        inputs=_inputs(contract, source.example, picture),
        outputs=outputs,
        classifier_config=ct.ClassifierConfig(list(labels)) if labels else None,
        convert_to="mlprogram",
        compute_precision=precision,
        minimum_deployment_target=getattr(ct.target, floor),
        skip_model_load=True,
    )


def _inputs(contract: Contract, example: tuple[torch.Tensor, ...], picture: ImageInput | None) -> list[Any]:
    if picture:
        colour = getattr(ct.colorlayout, _COLOURS[picture.channels])
        return [ct.ImageType(name=picture.name, shape=tuple(example[0].shape), color_layout=colour)]
    return [
        ct.TensorType(name=each.name, shape=tuple(tensor.shape), dtype=tensor.numpy().dtype.type)
        for each, tensor in zip(contract.inputs, example)
    ]


def _compressed(model: Any, recipe: Recipe) -> Any:
    """Weights as the scheme says; those of fewer than 2,048 values stay, as coremltools advises."""
    if recipe.scheme == "w8":
        config = cto.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8")
        return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=config))
    if recipe.scheme == "p6":
        palette = cto.OpPalettizerConfig(mode="kmeans", nbits=_PALETTE_BITS)
        return cto.palettize_weights(model, cto.OptimizationConfig(global_config=palette))
    return model


def contract_of(metadata: Mapping[str, str]) -> Contract:
    """The contract that `write` put into a package. Raises BundleError where there is none."""
    if _CONTRACT not in metadata:
        raise BundleError("this package carries no contract: only edgepack's own can be run by it")
    return Contract.model_validate_json(metadata[_CONTRACT])


def fed(contract: Contract, sample: Sample) -> dict[str, Any]:
    """What `predict` takes for a sample: a PIL picture where the package takes pictures."""
    picture = _picture(contract)
    if picture is None:
        return {each.name: array for each, array in zip(contract.inputs, sample)}
    scale, bias = (np.asarray(values).reshape(-1, 1, 1) for values in picture.per_channel())
    pixels = np.rint((sample[0][0] - bias) / scale).clip(0, 255).astype(np.uint8)
    if len(pixels) == 1:
        return {picture.name: Image.fromarray(pixels[0])}
    red_first = pixels[::-1] if picture.channels == "BGR" else pixels
    return {picture.name: Image.fromarray(np.ascontiguousarray(red_first.transpose(1, 2, 0)))}


def answered(contract: Contract, answers: Mapping[str, Any]) -> Sample:
    """What `predict` gave, as arrays in the contract's order."""
    labels = contract.classes.labels if contract.classes else ()
    if not labels:
        return tuple(np.asarray(answers[each.name]) for each in contract.outputs)
    scores = next(each for each in answers.values() if isinstance(each, dict))
    return (np.asarray([[scores[label] for label in labels]], dtype=np.float32),)
