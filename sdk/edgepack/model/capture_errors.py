"""Errors of capture in words: what torch.export cannot follow, in which line of the model, what to do."""

from __future__ import annotations

import re

import torch
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from edgepack.errors import SourceError, first_line
from edgepack.model import user_code
from edgepack.model.repeatability import SIZES_HINT

_BRANCH = re.compile(r"\b(if|elif|while|assert|and|or|not)\b|\bbool\(|\braise\b")
_NUMBER = re.compile(r"\.item\(|\.tolist\(|\bint\(|\bfloat\(|\brange\(")
_PACKED = re.compile(r"pack(ed)?_(padded_)?sequence|PackedSequence")
_DEPENDS_ON_VALUES = ("data-dependent", "DataDependent", "_local_scalar_dense", "dynamic shape operator")


def refusal(cause: BaseException) -> SourceError:
    """The error to raise where torch.export raised `cause`."""
    line = user_code.of_error(cause)
    text = f"{type(cause).__name__}: {cause}"
    if _PACKED.search(line) or _PACKED.search(text):
        where = f" ({line})" if line else ""
        return SourceError(
            f"the model packs sequences by their lengths, which no file can do{where}",
            hint="give the recurrent layer the padded tensor itself, and select the last step of each "
            "sequence by its length with gather",
        )
    if not any(words in text for words in _DEPENDS_ON_VALUES):
        where = f" ({line})" if line else ""
        return SourceError(
            f"torch.export cannot capture the model: {first_line(cause)}{where}",
            hint="the documentation of torch.export lists what a forward may do",
        )
    code = line.partition(": ")[2]
    place = f" ({line})" if line else ""
    if _BRANCH.search(code) or not code:
        return SourceError(
            f"the model branches on a value of a tensor, which no file can do{place}",
            hint="compute both sides and select with torch.where(condition, a, b), or use torch.cond; remove "
            "checks of values; a branch on shapes is no problem",
        )
    if _NUMBER.search(code):
        return SourceError(
            f"the model uses a value of a tensor as a number, which no file can do{place}",
            hint="keep it a tensor; a loop or a slice needs a size that is fixed",
        )
    return SourceError(f"a size in the model depends on values of a tensor{place}", hint=SIZES_HINT)


def check_sizes(program: ExportedProgram) -> None:
    """The sizes of the outputs do not depend on values. Raises SourceError."""
    (end,) = program.graph.find_nodes(op="output")
    for number, output in enumerate(end.args[0]):
        value = output.meta.get("val") if isinstance(output, Node) else None
        if isinstance(value, torch.Tensor) and free_unbacked_symbols(value):
            places = dict.fromkeys(_place(node) for node in program.graph.nodes if _makes_size(node))
            raise SourceError(
                f"the size of output {number} depends on values: {'; '.join(places)}", hint=SIZES_HINT
            )


def value_dependent(program: ExportedProgram) -> list[str]:
    """A note for each operator in the graph whose output has a size that depends on values."""
    return [
        f"{_place(node)} has a size that depends on values: few formats can carry it"
        for node in program.graph.nodes
        if _makes_size(node)
    ]


def complex_numbers(program: ExportedProgram) -> list[str]:
    """A note where the graph still computes with complex numbers: the first operator that makes them."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "call_function" and isinstance(value, torch.Tensor) and value.is_complex():
            return [
                f"{_place(node)} makes complex numbers, which most formats lack: compute with real and "
                "imaginary parts, torch.stft as conv1d with fixed bases"
            ]
    return []


def _makes_size(node: Node) -> bool:
    return bool(node.meta.get("unbacked_bindings"))


def _place(node: Node) -> str:
    line = user_code.of_node(node)
    return f"{node.target}{f' ({line})' if line else ''}"
