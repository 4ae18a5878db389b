"""What a TorchScript file contains: `.ptl` of the lite interpreter, or `.pt`.

torch loads the program and its graph is read; nothing is run. Where torch cannot load it (its code was
stripped, or its operators are not in this build), the lite interpreter's bytecode is read.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from edgepack.errors import BundleError
from edgepack.formats import contract_metadata
from edgepack.formats.description import Description, Layer, Tensor
from edgepack.formats.weighted_operators import Constant, Operator, layers, quantized

_INTEGERS = frozenset({"int8", "uint8", "uint4", "uint2"})
_WEIGHTED = re.compile(r"conv(?!ert)|(^|_|:)linear|(^|:|add|b)mm|matmul|embedding|lstm|gru|rnn_")
_CARRIERS = re.compile(
    r"prim::(List|Tuple|unchecked_cast)|aten::(t|to|transpose|permute|contiguous|detach|dequantize|"
    r"__getitem__|quantize_per_tensor|quantize_per_channel|fake_quantize\w*)$"
)
"""Nodes that only reshape, quantize or unpack: a constant that they read is the weight of the next
operator."""
_LITE = "bytecode.pkl"
_DATA = re.compile(r"/(constants|data)/[^/]+$")
"""Names of the tensors in an archive."""


def describe(path: Path) -> Description:
    """What the program at `path` contains. Raises BundleError where it cannot be read."""
    try:
        data = path.read_bytes()
        archive = [] if data[4:8] == b"PTMF" else zipfile.ZipFile(io.BytesIO(data)).infolist()
        extra = _extra(data, archive)
        try:
            return _description(*_loaded(data), archive, extra)
        except RuntimeError:
            if not any(each.filename.endswith(_LITE) for each in archive):
                raise
            return _description(*_bytecode(data), archive, extra)
    except OSError as cause:
        raise BundleError(f"{path} cannot be read: {cause.strerror or cause}") from cause
    except Exception as cause:  # damaged bytes end in any error of torch, zipfile or pickle
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise BundleError(f"{path} is not a TorchScript program, or is damaged: {reason}") from cause


def _description(
    operators: list[Operator],
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    metadata: list[tuple[str, str]],
    archive: list[zipfile.ZipInfo],
    extra: list[tuple[str, str]],
) -> Description:
    named = list(_numbered(operators))
    weighted = {  # a module that is called twice has a single weight
        each.name: each.weight.precision in _INTEGERS
        for each in named
        if each.weight and _WEIGHTED.search(each.kind)
    }
    share, floats = quantized(weighted.items())
    lite = not archive or any(each.filename.endswith(_LITE) for each in archive)
    facts = [*metadata, ("lite interpreter", "yes" if lite else "no")]
    facts += extra
    return Description(
        format="torchscript",
        inputs=inputs,
        outputs=outputs,
        operators=dict(Counter(each.kind for each in operators).most_common()),
        layers=_layers(named, sum(each.file_size for each in archive if _DATA.search(each.filename))),
        quantized=share,
        kept_float=floats,
        metadata=tuple(facts),
    )


def _extra(data: bytes, archive: list[zipfile.ZipInfo]) -> list[tuple[str, str]]:
    """The extra files of an archive: the contract with its content, others with their name only."""
    found = []
    for each in archive:
        name = each.filename.partition("/extra/")[2]
        if name == contract_metadata.KEY:
            found.append((name, zipfile.ZipFile(io.BytesIO(data)).read(each).decode()))
        elif name:
            found.append(("extra file", name))
    return found


def _numbered(operators: list[Operator]) -> Iterator[Operator]:
    """Operators with names: their module, else their kind and a number, in order of execution."""
    seen: Counter[str] = Counter()
    for each in operators:
        short = each.kind.partition("::")[2].lstrip("_")
        seen[short] += 1
        yield replace(each, name=each.name or f"{short} #{seen[short]}")


def _layers(operators: list[Operator], stored: int) -> tuple[Layer, ...]:
    """Operators with constants, then the rest of `stored`, the bytes of all tensors in the archive."""
    rest = max(stored - sum(each.bytes for each in operators), 0)
    unread = Operator("what no operator reads", "none", (Constant("mixed", 0, rest),))
    return layers([*operators, unread])


_Read = tuple[list[Operator], tuple[Tensor, ...], tuple[Tensor, ...], list[tuple[str, str]]]


def _loaded(data: bytes) -> _Read:
    """The program, loaded by torch. Raises RuntimeError where torch cannot load it."""
    module: Any = torch.jit.load(io.BytesIO(data), map_location="cpu")
    methods = [module._c._get_method(name) for name in module._c._method_names()]
    methods = [each for each in methods if each.name == "forward"] or methods
    if not methods:
        raise ValueError("it has no method")
    walk = _Walk(module)
    operators = [each for method in methods for each in walk.operators(method.inlined_graph)]
    names = [each.name for each in methods[0].schema.arguments[1:]]
    inputs = list(methods[0].inlined_graph.inputs())[1:]
    ends = [each.type() for each in methods[0].inlined_graph.outputs()]
    outputs = [part for end in ends for part in (end.elements() if end.kind() == "TupleType" else [end])]
    return (
        operators,
        tuple(_tensor(name, each.type()) for name, each in zip(names, inputs)),
        tuple(_tensor(f"output_{i}", each) for i, each in enumerate(outputs)),
        [("module", module.original_name), ("methods", ", ".join(each.name for each in methods))],
    )


def _tensor(name: str, kind: Any) -> Tensor:
    """Type and shape, as far as the file has them: most files have `Tensor` and no shape."""
    if kind.kind() != "TensorType":
        return Tensor(name, str(kind), ())
    dtype = str(kind.dtype()).removeprefix("torch.") if kind.dtype() else "Tensor"
    return Tensor(name, dtype, tuple(-1 if dim is None else dim for dim in kind.sizes() or ()))


class _Walk:
    """Reads graphs, and counts the bytes of every stored tensor for the first operator that uses it."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._claimed: set[object] = set()

    def operators(self, block: Any) -> Iterator[Operator]:
        """The operators of a graph or block in order, with those of nested blocks.

        The name of an operator is the path of the module that its constants are attributes of.
        """
        for node in block.nodes():
            if not node.kind().startswith("prim::"):
                reads = () if _CARRIERS.match(node.kind()) else node.inputs()
                found = [each for value in reads for each in self._stored(value)]
                constants = [c for path, held in found for c in self._constants(path, held)]
                modules = [".".join(path[:-1]).removesuffix("._packed_params") for path, _ in found]
                yield Operator(next(filter(None, modules), ""), node.kind(), tuple(constants))
            for inner in node.blocks():
                yield from self.operators(inner)

    def _stored(self, value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
        """The constants that a value is computed from: attributes by path, others by name."""
        node = value.node()
        if node.kind() == "prim::Constant":
            yield (f"%{value.debugName()}",), value.toIValue()
        elif node.kind() == "prim::GetAttr":
            path = _path(value)
            held = self._module._c
            for name in path:
                held = held.getattr(name)
            yield path, held
        elif _CARRIERS.match(node.kind()):
            for each in node.inputs():
                yield from self._stored(each)

    def _constants(self, path: tuple[str, ...], held: Any) -> Iterator[Constant]:
        for i, (tensor, packed) in enumerate(_tensors(held)):
            # an unpacked tensor is a copy with an address of its own
            key = (path, i) if packed else tensor.untyped_storage().data_ptr()
            yield _constant(tensor, first=key not in self._claimed)
            self._claimed.add(key)


def _path(value: Any) -> tuple[str, ...]:
    """Attribute names from the module down, such as (features, 0, weight); a name may contain dots."""
    node = value.node()
    if node.kind() != "prim::GetAttr":
        return ()
    return (*_path(next(iter(node.inputs()))), node.s("name"))


def _tensors(held: Any, packed: bool = False) -> Iterator[tuple[torch.Tensor, bool]]:
    """Tensors in a value, and whether each is packed for a quantized kernel."""
    if isinstance(held, torch.Tensor):
        yield held, packed
    elif "ScriptObject" in type(held).__name__ and held._has_method("__getstate__"):
        yield from _tensors(held.__getstate__(), packed=True)
    elif isinstance(held, (list, tuple, dict)):
        for each in held.values() if isinstance(held, dict) else held:
            yield from _tensors(each, packed)


def _constant(tensor: torch.Tensor, first: bool) -> Constant:
    size = tensor.untyped_storage().nbytes()
    if tensor.is_quantized and "channel" in str(tensor.qscheme()):
        size += tensor.q_per_channel_scales().nbytes + tensor.q_per_channel_zero_points().nbytes
    return Constant(_precision(tensor.dtype), tensor.dim(), size if first else 0)


def _precision(dtype: torch.dtype) -> str:
    name = str(dtype).removeprefix("torch.").removeprefix("q").partition("x")[0]
    return name.replace("bfloat", "bf").replace("float", "fp")


class _Object:
    """Replaces an object of torch in a pickle: nothing is imported or called."""

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, _module: str, name: str) -> Any:
        """A substitute class of the same name; `dict` for OrderedDict."""
        return dict if name == "OrderedDict" else type(name, (_Object,), {})

    def persistent_load(self, pid: Any) -> Any:
        """A storage: its type, its file in the archive, and its length."""
        _, kind, key, _, count = pid
        name = kind.__name__.removesuffix("Storage").removeprefix("Q").lower()
        return getattr(torch, {"char": "int8", "byte": "uint8"}.get(name, name)), str(key), int(count)


def _bytecode(data: bytes) -> _Read:
    """The program by the lite interpreter's bytecode. Raises errors of zipfile and pickle."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    name = next(name for name in archive.namelist() if name.endswith(_LITE))
    version, *methods = _Unpickler(io.BytesIO(archive.read(name))).load()
    operators = [each for method in methods for each in _executed(dict(method[1]))]
    schema = dict(methods[0][2])
    arguments = [dict(each) for each in schema["arguments"]][1:]
    returns = [dict(each) for each in schema["returns"]]
    names = [method[0].rpartition(".")[2] for method in methods]
    return (
        operators,
        tuple(Tensor(each["name"], each["type"], ()) for each in arguments),
        tuple(Tensor(f"output_{i}", each["type"], ()) for i, each in enumerate(returns)),
        [("bytecode", str(version)), ("methods", ", ".join(names))],
    )


def _executed(code: dict[str, Any]) -> Iterator[Operator]:
    """Operators in order of execution, each with the constants that were loaded for it."""
    claimed: set[str] = set()
    loaded: list[Constant] = []
    for instruction, index, _ in code["instructions"]:
        if instruction == "LOADC":
            loaded += _held(code["constants"][index], claimed)
        elif instruction in ("OP", "OPN"):
            yield Operator("", code["operators"][index][0], tuple(loaded))
            loaded = []


def _held(value: Any, claimed: set[str]) -> list[Constant]:
    """Tensors in an unpickled value; `claimed` are the storages that are counted already."""
    if isinstance(value, _Object):
        arguments = value.arguments
        if arguments and isinstance(arguments[0], tuple) and isinstance(arguments[0][0], torch.dtype):
            dtype, key, count = arguments[0]
            size = 0 if key in claimed else count * dtype.itemsize
            claimed.add(key)
            return [Constant(_precision(dtype), len(arguments[2]), size), *_held(arguments[3:], claimed)]
        return _held((arguments, value.state), claimed)
    if isinstance(value, (tuple, list, dict)):
        parts = value.values() if isinstance(value, dict) else value
        return [each for part in parts for each in _held(part, claimed)]
    return []
