"""Complex numbers as pairs of real numbers: spectrograms, Fourier layers, rotary embeddings.

Transforms become products or convolutions with fixed matrices, since most formats have neither complex
numbers nor transforms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgepack.graph.layers import ATEN
from edgepack.model.normalize import fourier
from edgepack.model.normalize.emitter import Emitter
from edgepack.model.normalize.fourier import Pair

_EACH = frozenset(
    {ATEN.view.default, ATEN.reshape.default, ATEN.permute.default, ATEN.transpose.int, ATEN.slice.Tensor,
     ATEN.select.int, ATEN.squeeze.dim, ATEN.squeeze.default, ATEN.unsqueeze.default,
     ATEN.flatten.using_ints, ATEN.expand.default, ATEN.clone.default, ATEN.contiguous.default,
     ATEN.roll.default, ATEN.repeat.default, ATEN.neg.default, ATEN.sum.dim_IntList, ATEN.mean.dim,
     ATEN.index_select.default, ATEN.narrow.default, ATEN.alias.default, ATEN.detach.default,
     ATEN.t.default, ATEN.swapaxes.default, ATEN.movedim.int}
)  # fmt: skip
"""Operators that do the same to both parts of their first input."""
_CONJUGATES = frozenset({ATEN._conj.default, ATEN.conj.default, ATEN.conj_physical.default})
_SAME = frozenset({ATEN.resolve_conj.default, ATEN.resolve_neg.default, ATEN.lift_fresh_copy.default})


def replace_complex(module: GraphModule) -> int:
    """Replace complex numbers by pairs of real ones; return how many operators were replaced.

    The graph stays as it is if an operator on complex numbers is not known here, or a transform is too large.
    """
    if not any(_is_complex(node) for node in module.graph.nodes):
        return 0
    nodes = list(module.graph.nodes)
    rewriter = _Rewriter(module)
    try:
        for node in nodes:
            rewriter.visit(node)
    except _Unknown:
        for node in reversed([each for each in module.graph.nodes if each not in set(nodes)]):
            module.graph.erase_node(node)
        module.delete_all_unused_submodules()
        return 0
    for node, real in rewriter.real.items():
        node.replace_all_uses_with(real)
    for node in reversed([*rewriter.pairs, *rewriter.real]):
        if not node.users:
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    return len(rewriter.pairs) + len(rewriter.real)


class _Unknown(Exception):
    """An operator that cannot be replaced."""


def _is_complex(node: Any) -> bool:
    value = node.meta.get("val") if isinstance(node, Node) else None
    return isinstance(value, torch.Tensor) and value.is_complex()


class _Rewriter:
    def __init__(self, module: GraphModule) -> None:
        self.module = module
        self.pairs: dict[Node, Pair] = {}
        """The parts of complex nodes."""
        self.real: dict[Node, Node] = {}
        """What replaces real nodes that read complex ones."""

    def visit(self, node: Node) -> None:
        reads = any(_is_complex(each) for each in node.all_input_nodes)
        if not reads and not _is_complex(node):
            return
        if node.op == "get_attr":
            self.pairs[node] = self._stored(node)
        elif node.op != "call_function":
            raise _Unknown
        elif _is_complex(node):
            self.pairs[node] = self._complex(node)
        else:
            self.real[node] = self._real(node)

    def _stored(self, node: Node) -> Pair:
        owner, _, name = str(node.target).rpartition(".")
        value = getattr(self.module.get_submodule(owner), name)
        emit = Emitter(self.module, node)
        return Pair(emit.constant(value.real.float()), emit.constant(value.imag.float()))

    def _pair(self, emit: Emitter, value: Any) -> Pair:
        """The parts of an argument, which may be real, or a number."""
        if isinstance(value, Node):
            return self.pairs[value] if value in self.pairs else Pair(self.real.get(value, value), None)
        if isinstance(value, (int, float, complex)):
            parts = [
                emit.constant(torch.tensor(float(part)))
                for part in (complex(value).real, complex(value).imag)
            ]
            return Pair(parts[0], parts[1] if isinstance(value, complex) else None)
        raise _Unknown

    def _real(self, node: Node) -> Node:
        """A real value of complex ones."""
        emit = Emitter(self.module, node)
        target: Any = node.target
        value = self._pair(emit, node.args[0])
        if value.im is None:
            raise _Unknown
        if target is ATEN.abs.default:
            squares = [emit(ATEN.mul.Tensor, part, part) for part in (value.re, value.im)]
            return emit(ATEN.sqrt.default, emit(ATEN.add.Tensor, *squares))
        if target is ATEN.angle.default:
            return emit(ATEN.atan2.default, value.im, value.re)
        if target is ATEN.view_as_real.default:
            return emit(ATEN.stack.default, [value.re, value.im], -1)
        if target is ATEN.real.default:
            return value.re
        if target is ATEN.imag.default:
            return value.im
        if target in (ATEN.fft_irfft.default, ATEN.fft_irfft2.default, ATEN.fft_irfftn.default):
            return self._inverse_half(emit, node, value)
        if target is ATEN.istft.default:
            return self._istft(emit, node, value)
        raise _Unknown

    def _complex(self, node: Node) -> Pair:
        emit = Emitter(self.module, node)
        target: Any = node.target
        if target is ATEN.stft.default:
            return self._stft(emit, node)
        if target in _TRANSFORMS:
            return self._transform(emit, node)
        if target is ATEN.complex.default:
            return Pair(*(self._plain(each) for each in node.args[:2]))
        if target is ATEN.polar.default:
            size, angle = (self._plain(each) for each in node.args[:2])
            return Pair(
                *(emit(ATEN.mul.Tensor, size, emit(f, angle)) for f in (ATEN.cos.default, ATEN.sin.default))
            )
        if target is ATEN.view_as_complex.default:
            parts = self._plain(node.args[0])
            return Pair(*(emit(ATEN.select.int, parts, -1, place) for place in (0, 1)))
        if target in (ATEN.cat.default, ATEN.stack.default):
            return self._joined(emit, node)
        if target in _ARITHMETIC and not node.kwargs:
            return _ARITHMETIC[target](emit, *(self._pair(emit, each) for each in node.args))
        return self._alike(emit, node, self._pair(emit, node.args[0]))

    def _alike(self, emit: Emitter, node: Node, value: Pair) -> Pair:
        """An operator that treats both parts alike, or changes the sign of one."""
        if value.im is None:
            raise _Unknown
        if node.target in _CONJUGATES:
            return Pair(value.re, emit(ATEN.neg.default, value.im))
        if node.target in _SAME:
            return value
        if node.target is ATEN.exp.default:
            size = emit(ATEN.exp.default, value.re)
            waves = (emit(f, value.im) for f in (ATEN.cos.default, ATEN.sin.default))
            return Pair(*(emit(ATEN.mul.Tensor, size, wave) for wave in waves))
        if node.target in _EACH:
            parts = (emit(node.target, part, *node.args[1:], **node.kwargs) for part in (value.re, value.im))
            return Pair(*parts)
        raise _Unknown

    def _plain(self, value: Any) -> Node:
        if not isinstance(value, Node) or value in self.pairs:
            raise _Unknown
        return self.real.get(value, value)

    def _joined(self, emit: Emitter, node: Node) -> Pair:
        parts = [self._pair(emit, each) for each in node.args[0]]  # type: ignore[union-attr]
        if any(part.im is None for part in parts):
            raise _Unknown
        rest = node.args[1:]
        return Pair(
            emit(node.target, [part.re for part in parts], *rest),
            emit(node.target, [part.im for part in parts], *rest),
        )

    def _transform(self, emit: Emitter, node: Node) -> Pair:
        half, inverse, several = _TRANSFORMS[node.target]
        value = self._pair(emit, node.args[0])
        dims, sizes, norm = _places(node, several=several)
        if half:
            value = fourier.half_transform(emit, value, sizes[-1], dims[-1], norm)
        for dim, size in list(zip(dims, sizes))[: -1 if half else None]:
            value = fourier.transform(emit, value, size, dim, norm, inverse=inverse)
        return value

    def _inverse_half(self, emit: Emitter, node: Node, value: Pair) -> Node:
        dims, sizes, norm = _places(node, several=node.target is not ATEN.fft_irfft.default)
        for dim, size in list(zip(dims, sizes))[:-1]:
            value = fourier.transform(emit, value, size, dim, norm, inverse=True)
        return fourier.inverse_half_transform(emit, value, sizes[-1], dims[-1], norm)

    def _window(self, given: Any, length: int, size: int) -> torch.Tensor:
        if given is None:
            return fourier.window_of(None, length, size)
        if not isinstance(given, Node) or given.op != "get_attr":
            raise _Unknown
        owner, _, name = str(given.target).rpartition(".")
        return fourier.window_of(getattr(self.module.get_submodule(owner), name).detach(), length, size)

    def _stft(self, emit: Emitter, node: Node) -> Pair:
        given = _arguments(node)
        value, size = self._plain(given["self"]), given["n_fft"]
        if given.get("align_to_window") or size * size > fourier.MOST:
            raise _Unknown
        length = given["win_length"] or size
        columns = int(node.meta["val"].shape[-2])
        return fourier.stft(
            emit, value, size, given["hop_length"] or size // 4, self._window(given["window"], length, size),
            normalized=bool(given["normalized"]), columns=columns,
        )  # fmt: skip

    def _istft(self, emit: Emitter, node: Node, value: Pair) -> Node:
        given = _arguments(node)
        size = given["n_fft"]
        if given["return_complex"] or given["onesided"] is False or size * size > fourier.MOST:
            raise _Unknown
        hop, length = given["hop_length"] or size // 4, given["win_length"] or size
        begin = size // 2 if given["center"] else 0
        samples = node.meta["val"].shape[-1]
        whole = size + hop * (value.re.meta["val"].shape[-1] - 1)
        if not all(isinstance(each, int) for each in (samples, whole)) or begin + samples > whole:
            raise _Unknown
        return fourier.istft(
            emit, value, size, hop, self._window(given["window"], length, size),
            normalized=bool(given["normalized"]), cut=(begin, begin + samples),
        )  # fmt: skip


def _arguments(node: Node) -> dict[str, Any]:
    """The arguments of a node by their names in the operator's schema, with defaults."""
    target: Any = node.target
    places = enumerate(target._schema.arguments)
    return {
        each.name: node.args[n] if n < len(node.args) else node.kwargs.get(each.name, each.default_value)
        for n, each in places
    }


def _places(node: Node, *, several: bool) -> tuple[list[int], list[int], str | None]:
    """Dimensions, sizes and normalization of a transform."""
    given = _arguments(node)
    source, result = node.args[0].meta["val"], node.meta["val"]  # type: ignore[union-attr]
    if several:
        dims = list(given["dim"]) if given["dim"] is not None else list(range(-source.dim(), 0))
        sizes = given["s"]
    else:
        dims, sizes = [given["dim"]], given["n"]
        sizes = None if sizes is None else [sizes]
    if sizes is None:
        is_inverse_half = source.is_complex() and not result.is_complex()
        sizes = [(result if is_inverse_half else source).shape[dim] for dim in dims]
    if not all(isinstance(size, int) and size * size <= fourier.MOST for size in sizes):
        raise _Unknown
    return dims, list(sizes), given["norm"]


_TRANSFORMS: dict[Any, tuple[bool, bool, bool]] = {
    ATEN.fft_fft.default: (False, False, False),
    ATEN.fft_ifft.default: (False, True, False),
    ATEN.fft_rfft.default: (True, False, False),
    ATEN.fft_fft2.default: (False, False, True),
    ATEN.fft_fftn.default: (False, False, True),
    ATEN.fft_ifft2.default: (False, True, True),
    ATEN.fft_ifftn.default: (False, True, True),
    ATEN.fft_rfft2.default: (True, False, True),
    ATEN.fft_rfftn.default: (True, False, True),
}
"""Whether a transform gives half of the frequencies, is an inverse, and has several dimensions."""


def _added(emit: Emitter, a: Pair, b: Pair) -> Pair:
    return Pair(emit(ATEN.add.Tensor, a.re, b.re), _sum(emit, a.im, b.im, a, b))


def _subtracted(emit: Emitter, a: Pair, b: Pair) -> Pair:
    opposite = Pair(emit(ATEN.neg.default, b.re), None if b.im is None else emit(ATEN.neg.default, b.im))
    return _added(emit, a, opposite)


def _sum(emit: Emitter, a: Node | None, b: Node | None, first: Pair, second: Pair) -> Node:
    """The sum of imaginary parts, in the shape of the sum of both values."""
    if a is not None and b is not None:
        return emit(ATEN.add.Tensor, a, b)
    known, other = (a, second.re) if a is not None else (b, first.re)
    zeros = emit(ATEN.mul.Tensor, other, emit.constant(torch.zeros(())))
    return emit(ATEN.add.Tensor, known, zeros)


def _multiplied(emit: Emitter, a: Pair, b: Pair, times: Callable[..., Any] = ATEN.mul.Tensor) -> Pair:
    if a.im is None:
        return Pair(emit(times, a.re, b.re), emit(times, a.re, b.im))
    if b.im is None:
        return Pair(emit(times, a.re, b.re), emit(times, a.im, b.re))
    re = emit(ATEN.sub.Tensor, emit(times, a.re, b.re), emit(times, a.im, b.im))
    return Pair(re, emit(ATEN.add.Tensor, emit(times, a.re, b.im), emit(times, a.im, b.re)))


def _divided(emit: Emitter, a: Pair, b: Pair) -> Pair:
    if b.im is not None or a.im is None:
        raise _Unknown
    return Pair(emit(ATEN.div.Tensor, a.re, b.re), emit(ATEN.div.Tensor, a.im, b.re))


_ARITHMETIC: dict[Any, Callable[..., Pair]] = {
    ATEN.add.Tensor: _added,
    ATEN.sub.Tensor: _subtracted,
    ATEN.mul.Tensor: _multiplied,
    ATEN.div.Tensor: _divided,
    ATEN.matmul.default: lambda emit, a, b: _multiplied(emit, a, b, ATEN.matmul.default),
}
