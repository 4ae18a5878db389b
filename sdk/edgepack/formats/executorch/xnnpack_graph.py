"""The graph that a `.pte` gives to XNNPACK: decoded from the delegate's payload, and encoded again.

ExecuTorch ships the schema of the graph and `flatc`, which converts it to JSON and back.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from executorch.backends.xnnpack.serialization import xnnpack_graph_serialize as xnnpack
from executorch.exir._serialize._flatbuffer import _flatc_compile, _flatc_decompile

BACKEND = "XnnpackBackend"
"""The delegate's name in a program."""


def decoded(payload: bytes) -> Any | None:
    """The graph in a payload; None where the payload is of another version.

    Raises ValueError where it is damaged.
    """
    try:
        header = xnnpack.XNNHeader.from_bytes(payload[: xnnpack.XNNHeader.EXPECTED_LENGTH])
    except ValueError:
        return None
    begin = header.flatbuffer_offset
    with tempfile.TemporaryDirectory() as folder:
        schema, packed = Path(folder, "schema.fbs"), Path(folder, "graph.bin")
        schema.write_bytes(xnnpack._get_schema_bytes())
        packed.write_bytes(payload[begin : begin + header.flatbuffer_size])
        try:
            _flatc_decompile(folder, str(schema), str(packed), ["--raw-binary"])
        except subprocess.CalledProcessError as cause:
            raise ValueError("its XNNPACK payload cannot be decoded") from cause
        text = Path(folder, "graph.json").read_text(encoding="utf-8")
    return json.loads(re.sub(r"(?<=[:\[,]) *(-?)inf\b", r" \1Infinity", text))


def encoded(graph: Any, original: bytes) -> bytes:
    """The payload of `graph`, with the constants of the payload `original`."""
    header = xnnpack.XNNHeader.from_bytes(original[: xnnpack.XNNHeader.EXPECTED_LENGTH])
    with tempfile.TemporaryDirectory() as folder:
        schema, plain = Path(folder, "schema.fbs"), Path(folder, "graph.json")
        schema.write_bytes(xnnpack._get_schema_bytes())
        plain.write_text(json.dumps(graph), encoding="utf-8")
        _flatc_compile(folder, str(schema), str(plain))
        packed = Path(folder, "graph.bin").read_bytes()
    align = xnnpack.CONSTANT_TENSOR_ALIGNMENT
    begin = xnnpack._aligned_size(xnnpack.XNNHeader.EXPECTED_LENGTH, align)
    length = xnnpack._aligned_size(len(packed), align)
    constants = original[header.constant_data_offset :][: header.constant_data_size]
    made = xnnpack.XNNHeader(begin, len(packed), begin + length, len(constants))
    return b"".join([xnnpack._pad_to(made.to_bytes(), begin), xnnpack._pad_to(packed, length), constants])


def values(graph: Any) -> dict[int, Any]:
    """The tensors of a graph, by their numbers."""
    return {value["id_out"]: value for value, _ in map(value_and_scales, graph["xvalues"])}


def value_and_scales(entry: Any) -> tuple[Any, int]:
    """The tensor of an entry of `xvalues`, and the index of its scales among the constants; 0 where it has
    none."""
    union = entry["xvalue_union"]
    return union.get("tensor_value", union), union.get("quant_params", {}).get("scale_buffer_idx", 0)
