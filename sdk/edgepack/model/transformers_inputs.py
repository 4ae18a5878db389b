"""The inputs of a model of transformers, from its configuration and its tokenizer's or processor's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from edgepack.errors import SourceError

_LONGEST = 128
"""Tokens of a text input, if the model's files name no smaller length."""
_RESAMPLING = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of filters, as image processors store them."""

Table = dict[str, Any]


def tables(
    folder: Path, configuration: Any, module: Any, parameters: list[str]
) -> tuple[tuple[Table, ...], str]:
    """The tables of the model's inputs, and where they come from, in words.

    No table if the kind of its first input is not known: then the user declares them.
    """
    main = getattr(module, "main_input_name", "")
    if main == "input_ids" and main in parameters and "pixel_values" not in parameters:
        return _text(folder, configuration, parameters)
    if main == "pixel_values" and main in parameters:
        return _image(folder, configuration)
    if main == "input_values" and main in parameters:
        rate = _read(folder / "preprocessor_config.json").get("sampling_rate", 16_000)
        table = {"kind": "tensor", "name": main, "shape": [1, rate]}
        return (table,), f"one second of audio at {rate} Hz; --input sets another length"
    return (), "inputs as declared"


def _text(folder: Path, configuration: Any, parameters: list[str]) -> tuple[tuple[Table, ...], str]:
    """Token ids and, if the model takes one, their mask."""
    length = _length(folder, configuration)
    ids: Table = {"kind": "tensor", "name": "input_ids", "shape": [1, length], "dtype": "int64"}
    mask = {**ids, "name": "attention_mask"}
    words = f"texts of {length} tokens, padded; --input sets another length"
    return (ids, *([mask] if "attention_mask" in parameters else [])), words


def _length(folder: Path, configuration: Any) -> int:
    """The smallest of the lengths that the model's files name, and the default."""
    truncation = _read(folder / "tokenizer.json").get("truncation") or {}
    named = (
        getattr(configuration, "max_position_embeddings", None),
        truncation.get("max_length"),
        _read(folder / "sentence_bert_config.json").get("max_seq_length"),
        _read(folder / "tokenizer_config.json").get("model_max_length"),
    )
    return min([_LONGEST, *(length for length in named if isinstance(length, int) and length > 0)])


def _image(folder: Path, configuration: Any) -> tuple[tuple[Table, ...], str]:
    processor = _read(folder / "preprocessor_config.json")
    channels = getattr(configuration, "num_channels", 3)
    if not processor or channels not in (1, 3):
        size = _pair(getattr(configuration, "image_size", 224))
        table = {"kind": "tensor", "name": "pixel_values", "shape": [1, channels, *size]}
        return (table,), "no preprocessor_config.json, so the app prepares the image"
    order = "L" if channels == 1 else "BGR" if processor.get("do_flip_channel_order") else "RGB"
    table = {"kind": "image", "name": "pixel_values", "channels": order}
    table.update(_framing(processor, configuration))
    table["interpolation"] = _RESAMPLING.get(processor.get("resample", 2), "bicubic")
    high = 255.0
    if processor.get("do_rescale", True):
        high = round(255 * float(processor.get("rescale_factor") or 1 / 255), 9)
    table["value_range"] = [0.0, high]
    if processor.get("do_normalize", True):
        table["mean"] = _channels(processor.get("image_mean", [0.5] * channels), channels)
        table["std"] = _channels(processor.get("image_std", [0.5] * channels), channels)
    return (table,), "pre-processing by preprocessor_config.json"


def _framing(processor: Table, configuration: Any) -> Table:
    """Size, resizing and crop, as image processors of transformers apply them."""
    size = processor.get("size", getattr(configuration, "image_size", 224))
    shortest = size.get("shortest_edge") if isinstance(size, dict) else None
    share = processor.get("crop_pct")
    if shortest and share and shortest < 384:  # ConvNext: resized to size / share, then cropped to size
        return {"size": [shortest, shortest], "resize_to": int(float(shortest) / float(share))}
    if shortest and share:
        return {"size": [shortest, shortest], "resize": "stretch"}
    if processor.get("do_center_crop") and processor.get("crop_size"):
        crop = _pair(processor["crop_size"])
        return {"size": crop, "resize_to": shortest or max(_pair(size))}
    if shortest:
        return {"size": _pair(getattr(configuration, "image_size", shortest)), "resize_to": shortest}
    return {"size": _pair(size), "resize": "stretch"}


def _pair(size: Any) -> list[int]:
    """Height and width from one number, a pair, or a table."""
    if isinstance(size, dict):
        edges: list[Any] = [
            size.get(side) or size.get("shortest_edge") or 224 for side in ("height", "width")
        ]
        return [int(edge) for edge in edges]
    return [int(size), int(size)] if isinstance(size, int) else [int(edge) for edge in size]


def _channels(values: Any, count: int) -> list[float]:
    return [float(value) for value in (values if isinstance(values, list) else [values] * count)][:count]


def example(inputs: tuple[Table, ...]) -> dict[str, torch.Tensor]:
    """Ones in the form of the tables: they are valid token ids, masks and images."""
    found = {}
    for table in inputs:
        shape = table.get("shape") or [1, 1 if table["channels"] == "L" else 3, *table["size"]]
        found[table["name"]] = torch.ones(shape, dtype=getattr(torch, table.get("dtype", "float32")))
    return found


def _read(path: Path) -> Table:
    """A JSON object; empty if there is no such file. Raises SourceError if it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as cause:
        raise SourceError(f"{path} cannot be read: {cause}") from cause
    return found if isinstance(found, dict) else {}
