"""Conversion to Core ML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import torch

from edgepack.contract import Contract, ImageInput
from edgepack.formats.coreml import activations, compress, features, layers, package, trace
from edgepack.formats.coreml.features import Features
from edgepack.formats.coreml.trace import Names, Traced
from edgepack.formats.protocol import Exported
from edgepack.formats.unsupported_operators import refusal
from edgepack.graph import layers as graphs
from edgepack.model.source import Source
from edgepack.recipe import Recipe
from edgepack.scheme import Scheme

_COLOURS = {"RGB": "RGB", "BGR": "BGR", "L": "GRAYSCALE"}
DATED = "com.github.apple.coremltools.conversion_date"


@dataclass(frozen=True)
class _Base:
    """The model in float, which every recipe of one precision and floor starts from."""

    model: Any
    names: Names
    features: Features


def write(source: Source, recipe: Recipe, floor: str, path: Path) -> Exported:
    """Write the package for iOS `floor`. Raises ExportError, naming the operator it cannot carry."""
    picture = features.image_input(source.contract)
    try:
        base = _base(source, recipe, floor, picture)
        model, notes = base.model, (*_notes(source, picture), *base.features.notes())
        notes += features.widened(source.contract)
        if not all(each.is_float for each in recipe.schemes):
            ranges = activations.ranges(source, recipe)
            model, told = compress.compressed(base.model, base.names, recipe, ranges)
            notes = (*notes, *told)
        model.user_defined_metadata.pop(DATED, None)  # the same input gives the same file
        package.save(model, path)
    except (RuntimeError, ValueError, TypeError, NotImplementedError, KeyError, AssertionError) as cause:
        raise refusal("coreml", source.exported, cause) from cause
    return Exported((path,), notes=notes, activation=_activation(source.contract))


def _base(source: Source, recipe: Recipe, floor: str, picture: ImageInput | None) -> _Base:
    """The float model, converted once for all recipes that keep the same operators in fp32."""
    wide = [path for path in graphs.layers(source.exported.module()) if _is_wide(recipe.at(path))]
    key = " ".join(["coreml", floor, "fp32" if _is_wide(recipe.base) else "fp16", *wide])
    base = source.cache.get(key, _Base, source.exported)
    if base is None:
        traced = trace.traced(source, picture, _activation(source.contract))
        model = _converted(traced, source, recipe, floor, picture)
        found = features.write(model, features.taken(source.contract), _activation(source.contract))
        model.user_defined_metadata[layers.KEY] = layers.written(model._mil_program, traced.names)
        base = _Base(model, traced.names, found)
        source.cache.put(key, base, source.exported)
    return base


def _activation(contract: Contract) -> str:
    """The activation that goes into the program: a classifier's, if it has labels to score."""
    classes = contract.classes
    return classes.activation if classes and classes.labels else "none"


def _notes(source: Source, picture: ImageInput | None) -> tuple[str, ...]:
    contract, notes = source.contract, []
    if picture:
        notes.append("takes the picture itself: scaling, mean and std are inside")
    if _activation(contract) != "none":
        notes.append(f"{_activation(contract)} is inside: its scores are probabilities")
    if contract.classes and contract.classes.labels and not features.class_labels(contract):
        notes.append("its labels are in the contract alone: a classifier of Core ML has one output")
    if sizes := source.fixed_sizes:
        notes.append(f"{sizes} in this file")
    return tuple(notes)


def _converted(traced: Traced, source: Source, recipe: Recipe, floor: str, picture: ImageInput | None) -> Any:
    contract = source.contract
    labels = features.class_labels(contract)
    outputs = None if labels else [ct.TensorType(name=each.name) for each in contract.outputs]
    return ct.convert(
        traced.script,
        inputs=_inputs(contract, source.example, picture),
        outputs=outputs,
        classifier_config=ct.ClassifierConfig(list(labels)) if labels else None,
        convert_to="mlprogram",
        compute_precision=_precision(traced.names, recipe),
        minimum_deployment_target=getattr(ct.target, floor),
        skip_model_load=True,
    )


def _precision(names: Names, recipe: Recipe) -> Any:
    """16-bit floats for every operator but those that the recipe wants in fp32."""
    if all(_is_wide(scheme) for scheme in recipe.schemes):
        return ct.precision.FLOAT32
    if not any(_is_wide(scheme) for scheme in recipe.schemes):
        return ct.precision.FLOAT16
    return ct.transform.FP16ComputePrecision(
        op_selector=lambda operation: not _is_wide(recipe.at(names.layer(operation)))
    )


def _is_wide(scheme: Scheme) -> bool:
    """Whether layers compute in 32-bit floats, not in 16-bit ones as all other schemes do."""
    return scheme.is_float and not scheme.is_half


def _inputs(contract: Contract, example: tuple[torch.Tensor, ...], picture: ImageInput | None) -> list[Any]:
    if picture:
        colour = getattr(ct.colorlayout, _COLOURS[picture.channels])
        return [ct.ImageType(name=picture.name, shape=(1, picture.depth, *picture.size), color_layout=colour)]
    return [
        ct.TensorType(name=each.name, shape=tuple(tensor.shape), dtype=np.dtype(each.dtype).type)
        for each, tensor in zip(features.taken(contract).inputs, example)
    ]
