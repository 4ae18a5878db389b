"""Operators of torch written in simpler ones, exactly but for the order of sums.

Each function has the arguments of the operator whose name it has. Tables of formats choose among them; what
does not hold for all arguments says in its docstring for which it does, and the tables ask before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.nn import functional as F
from torch.utils._python_dispatch import _disable_current_modes

from edgepack.formats.decomposition import Decomposition, of_torch
from edgepack.formats.unsupported_operators import refused
from edgepack.graph.layers import ATEN


def pad(x: Tensor, sizes: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """`reflect`, `replicate` and `circular` in any number of dimensions, by slices."""
    del value
    for number, (before, after) in enumerate(zip(sizes[::2], sizes[1::2])):
        dim = x.dim() - 1 - number
        length = x.shape[dim]
        parts = [_border(x, dim, before, 0, mode), x, _border(x, dim, after, length, mode)]
        x = torch.cat([part for part in parts if part is not None], dim) if before or after else x
    return x


def _border(x: Tensor, dim: int, count: int, length: int, mode: str) -> Tensor | None:
    """What `pad` adds before a dimension (`length` 0) or after it."""
    if not count:
        return None
    if mode == "circular":
        return x.narrow(dim, 0 if length else x.shape[dim] - count, count)
    if mode == "reflect":
        return x.narrow(dim, length - 1 - count if length else 1, count).flip(dim)
    edge = x.narrow(dim, length - 1 if length else 0, 1)
    return edge.expand([count if n == dim else -1 for n in range(x.dim())])


def gelu_tanh(x: Tensor, *, approximate: str = "tanh") -> Tensor:
    """GELU's approximation by tanh: 0.5 (1 + tanh(u)) is the sigmoid of 2u."""
    del approximate
    root = 2 * math.sqrt(2 / math.pi)
    return x * torch.sigmoid(x * (x * x * (0.044715 * root) + root))


def whole_floor_divide(x: Tensor, other: Tensor | int) -> Tensor:
    """Of integers: the result is said to be of their type, which coremltools takes for a float."""
    found = torch.floor_divide(x, other)
    cast: Tensor = ATEN._to_copy.default(found, dtype=found.dtype)
    return cast


def rms_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean(x²) + eps), computed on x over its greatest value: its square does not overflow in
    fp16."""
    dims = list(range(-len(shape), 0))
    root = math.sqrt(torch.finfo(torch.float32).eps if eps is None else eps)
    greatest = x.abs().amax(dims, keepdim=True).clamp_min(root)
    scaled, least = x / greatest, root / greatest
    normalized = scaled * (scaled.square().mean(dims, keepdim=True) + least.square()).rsqrt()
    return normalized if weight is None else normalized * weight


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Tensor:
    """The sum of a convolution in two dimensions for each plane of the kernel."""
    stride, padding, dilation = (_three(each) for each in (stride, padding, dilation))
    x = F.pad(x, (0, 0, 0, 0, padding[0], padding[0])) if padding[0] else x
    planes = weight.shape[2]
    depth = (x.shape[2] - dilation[0] * (planes - 1) - 1) // stride[0] + 1
    total: Tensor | None = None
    for plane in range(planes):
        flat = _frames(_strided(x, 2, plane * dilation[0], stride[0], depth))
        kernel = weight[:, :, plane]
        own = bias if plane == 0 else None
        part = F.conv2d(flat, kernel, own, stride[1:], padding[1:], dilation[1:], groups)
        total = part if total is None else total + part
    assert total is not None
    return _volume(total, depth)


def conv_transpose3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    output_padding: Sequence[int] = (0,),
    groups: int = 1,
    dilation: Sequence[int] = (1,),
) -> Tensor:
    """For each plane of the kernel a transposed convolution in two dimensions, whose frames are put
    `stride` apart and summed."""
    stride, padding, dilation = (_three(each) for each in (stride, padding, dilation))
    more = _three(output_padding)
    depth, planes = x.shape[2], weight.shape[2]
    flat = _frames(x)
    whole = (depth - 1) * stride[0] + dilation[0] * (planes - 1) + 1
    total: Tensor | None = None
    for plane in range(planes):
        kernel = weight[:, :, plane]
        part = F.conv_transpose2d(flat, kernel, None, stride[1:], padding[1:], more[1:], groups, dilation[1:])
        spread = _spread(_volume(part, depth), stride[0])
        before = plane * dilation[0]
        spread = F.pad(spread, (0, 0, 0, 0, before, whole - before - spread.shape[2]))
        total = spread if total is None else total + spread
    assert total is not None
    end = whole - 2 * padding[0] + more[0]
    total = F.pad(total, (0, 0, 0, 0, 0, more[0])) if more[0] else total
    total = total.narrow(2, padding[0], end)
    return total if bias is None else total + bias.reshape(1, -1, 1, 1, 1)


def _spread(x: Tensor, stride: int) -> Tensor:
    """`x` with `stride - 1` frames of zeros between its frames."""
    if stride == 1:
        return x
    zeros = torch.zeros_like(x)
    wide = torch.stack([x, *[zeros] * (stride - 1)], 3).flatten(2, 3)
    return wide.narrow(2, 0, (x.shape[2] - 1) * stride + 1)


def max_pool3d(
    x: Tensor,
    size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Tensor:
    """Of the greatest frame, the greatest pixels. Without `ceil_mode`."""
    del ceil_mode
    size, padding, dilation = (_three(each) for each in (size, padding, dilation))
    stride = _three(stride) if stride else size
    x = F.pad(x, (0, 0, 0, 0, padding[0], padding[0]), value=-math.inf) if padding[0] else x
    depth = (x.shape[2] - dilation[0] * (size[0] - 1) - 1) // stride[0] + 1
    parts = [_strided(x, 2, n * dilation[0], stride[0], depth) for n in range(size[0])]
    flat = _frames(_together(parts, torch.maximum))
    return _volume(F.max_pool2d(flat, size[1:], stride[1:], padding[1:], dilation[1:]), depth)


def avg_pool3d(
    x: Tensor,
    size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of frames, then of pixels. Without `ceil_mode` and `divisor_override`; padding counts."""
    del ceil_mode, divisor_override
    size, padding = _three(size), _three(padding)
    stride = _three(stride) if stride else size
    x = F.pad(x, (0, 0, 0, 0, padding[0], padding[0])) if padding[0] else x
    depth = (x.shape[2] - size[0]) // stride[0] + 1
    parts = [_strided(x, 2, n, stride[0], depth) for n in range(size[0])]
    flat = _frames(_together(parts, torch.add) / size[0])
    if tuple(size[1:]) == (1, 1) and tuple(stride[1:]) == (1, 1):
        return _volume(flat, depth)
    return _volume(F.avg_pool2d(flat, size[1:], stride[1:], padding[1:], False, count_include_pad), depth)


def _three(values: Sequence[int]) -> list[int]:
    given = list(values)
    return given * 3 if len(given) == 1 else given


def _strided(x: Tensor, dim: int, start: int, step: int, count: int) -> Tensor:
    """`count` values of a dimension, `step` apart."""
    length = (count - 1) * step + 1
    part = x.narrow(dim, start, length)
    apart: Tensor = part if step == 1 else ATEN.slice.Tensor(part, dim, 0, length, step)
    return apart


def _frames(x: Tensor) -> Tensor:
    """[batch, channels, depth, ...] as [batch * depth, channels, ...]."""
    return x.transpose(1, 2).flatten(0, 1)


def _volume(x: Tensor, depth: int) -> Tensor:
    volume: Tensor = x.unflatten(0, (-1, depth)).transpose(1, 2)
    return volume


def _together(parts: Sequence[Tensor], join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    total, *rest = parts
    for part in rest:
        total = join(total, part)
    return total


def adaptive_max_pool2d(x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, None]:
    """The greatest value of each region; the second output, the places, must not be read."""
    for dim, count in zip((-2, -1), sizes):
        parts = [x.narrow(dim, *region).amax(dim, keepdim=True) for region in _regions(x.shape[dim], count)]
        x = torch.cat(parts, dim)
    return x, None


def adaptive_avg_pool3d(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """The mean of each region."""
    for dim, count in zip((-3, -2, -1), _three(sizes)):
        parts = [x.narrow(dim, *region).mean(dim, keepdim=True) for region in _regions(x.shape[dim], count)]
        x = torch.cat(parts, dim) if len(parts) > 1 else parts[0]
    return x


def _regions(size: int, count: int) -> list[tuple[int, int]]:
    """Start and length of each region of an adaptive pool, as torch has them."""
    ends = [(n * size // count, -(-(n + 1) * size // count)) for n in range(count)]
    return [(begin, end - begin) for begin, end in ends]


def sort(x: Tensor, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """The best of all values; equal values may come in another order."""
    found = torch.topk(x, x.shape[dim], dim, descending, True)
    return found.values, found.indices


def argsort(x: Tensor, dim: int = -1, descending: bool = False) -> Tensor:
    """The places of sorted values."""
    return sort(x, dim, descending)[1]


def sort_stable(
    x: Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[Tensor, Tensor]:
    """`sort` where no order of equal values is asked for."""
    del stable
    return sort(x, dim, descending)


def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The last of the k least values."""
    least = torch.topk(x, k, dim, False, True)
    values, places = (each.narrow(dim, k - 1, 1) for each in (least.values, least.indices))
    return (values, places) if keepdim else (values.squeeze(dim), places.squeeze(dim))


def median(x: Tensor, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The lower of the two values in the middle, as torch has it."""
    return kthvalue(x, (x.shape[dim] - 1) // 2 + 1, dim, keepdim)


def bucketize(x: Tensor, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The number of boundaries below each value."""
    wide = x.unsqueeze(-1)
    below = boundaries <= wide if right else boundaries < wide
    return below.to(torch.int32).sum(-1).to(torch.int32 if out_int32 else torch.int64)


def cumprod(x: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """Products of runs that double in length (Hillis and Steele 1986)."""
    x = x if dtype is None else x.to(dtype)
    length, shift = x.shape[dim], 1
    while shift < length:
        ones = torch.ones_like(x.narrow(dim, 0, shift))
        x = x * torch.cat([ones, x.narrow(dim, 0, length - shift)], dim)
        shift *= 2
    return x


def prod(x: Tensor, dim: int, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
    """The product of the halves, until one is left."""
    x = x if dtype is None else x.to(dtype)
    while (length := x.shape[dim]) > 1:
        half = length // 2
        product = x.narrow(dim, 0, half) * x.narrow(dim, half, half)
        x = torch.cat([product, x.narrow(dim, 2 * half, 1)], dim) if length % 2 else product
    return x if keepdim else x.squeeze(dim)


def cdist(a: Tensor, b: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:
    """Distances of all pairs, for p of 1 and 2."""
    del compute_mode
    apart = a.unsqueeze(-2) - b.unsqueeze(-3)
    return apart.abs().sum(-1) if p == 1 else apart.square().sum(-1).sqrt()


def rrelu(
    x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, generator: Any = None
) -> Tensor:
    """Outside of training, a leaky ReLU with the mean slope."""
    del training, generator
    return F.leaky_relu(x, (lower + upper) / 2)


def bilinear(a: Tensor, b: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Products of both inputs, weighted: matrix products, then a sum."""
    outputs, first, second = weight.shape
    mixed = (a @ weight.permute(1, 0, 2).reshape(first, outputs * second)).unflatten(-1, (outputs, second))
    total: Tensor = (mixed * b.unsqueeze(-2)).sum(-1)
    return total if bias is None else total + bias


def shift_right(x: Tensor, bits: int) -> Tensor:
    """Integers over a power of two, rounded down."""
    return torch.div(x, 1 << bits, rounding_mode="floor")


def mask_low_bits(x: Tensor, mask: int) -> Tensor:
    """The rest of a division by a power of two; `mask` is one less than it."""
    return torch.remainder(x, mask + 1)


def log_sigmoid(x: Tensor) -> Tensor:
    """In the form that does not overflow."""
    return -F.softplus(-x)


def trunc(x: Tensor) -> Tensor:
    """Rounded towards zero."""
    return torch.where(x < 0, x.ceil(), x.floor())


def new_ones(x: Tensor, size: Sequence[int], *, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    """A tensor of ones."""
    return torch.ones(size, dtype=dtype or x.dtype)


def unfold(x: Tensor, dim: int, size: int, step: int) -> Tensor:
    """Windows of a dimension, their values in a new last one."""
    count = (x.shape[dim] - size) // step + 1
    return torch.stack([_strided(x, dim, n, step, count) for n in range(size)], -1)


def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Every (columns + 1)-th value of the matrices. For an offset of 0."""
    del offset
    square = x.movedim((dim1, dim2), (-2, -1))
    rows, columns = square.shape[-2:]
    count = min(rows, columns)
    return _strided(square.flatten(-2), -1, 0, columns + 1, count)


def bag_of(node: Node) -> Decomposition | None:
    """The decomposition of an `embedding_bag` whose bags have one length; None of others."""
    bags = node.args[2]
    if not isinstance(bags, Node) or bags.target not in (ATEN.arange.start_step, ATEN.arange.default):
        return None
    count = int(bags.meta["val"].numel())
    mode = node.args[4] if len(node.args) > 4 else 0
    is_weighted = len(node.args) > 6 and node.args[6] is not None

    def bag(weight: Tensor, indices: Tensor, *_: Any, **__: Any) -> Any:
        return embedding_bag(count, weight, indices, int(mode))  # type: ignore[arg-type]

    return None if is_weighted else bag


def projected_lstm(node: Node, most: int, format_name: str) -> Decomposition | None:
    """torch's decomposition of an LSTM with projections, step by step; None of others.

    Raises ExportError where it has more than `most` steps.
    """
    arguments: Any = node.args
    given, (hidden, cell) = arguments[:2]
    if hidden.meta["val"].shape == cell.meta["val"].shape:
        return None
    steps = given.meta["val"].shape[1 if arguments[8] else 0]
    if steps > most:
        why = f"an LSTM with projections is written step by step, and {steps} steps are more than {most}"
        raise refused(format_name, node, why)
    return of_torch(node)


def embedding_bag(bags: int, weight: Tensor, indices: Tensor, mode: int) -> tuple[Tensor, None, None, None]:
    """Bags of equal length; the outputs for training must not be read. `mode`: 0 sum, 1 mean, 2 greatest."""
    rows = F.embedding(indices.reshape(bags, -1), weight)
    joined = (rows.sum(1), rows.mean(1), rows.amax(1))[mode]
    return joined, None, None, None


def resize(target: Any, output: Sequence[int], x: Tensor, *arguments: Any) -> Tensor:
    """An interpolation `target` (`.vec`) to `output` sizes, as a product with a matrix for each dimension.

    Interpolation is linear and goes dimension by dimension: the matrix is what it makes of the unit vectors.
    """
    sizes, *settings, scales = arguments
    rank = len(output)
    for axis, (before, after) in enumerate(zip(x.shape[2:], output)):
        if before == after and sizes is not None and not str(target).startswith("aten._"):
            continue
        scale = None if scales is None else scales[axis]
        matrix = _resizing(target, before, after, settings, scale, rank)
        dim = axis + 2
        x = (x.transpose(dim, -1) @ matrix.t()).transpose(dim, -1)
    return x


def _resizing(
    target: Any, before: int, after: int, settings: Sequence[Any], scale: float | None, rank: int
) -> Tensor:
    """[after, before]: a dimension interpolated; the others have size 2, which stays.

    With a size of 1, torch 2.13 antialiases wrongly.
    """
    others = [2] * (rank - 1)
    with _disable_current_modes():
        units = torch.eye(before).reshape(1, before, before, *[1] * (rank - 1))
        units = units.expand(-1, -1, -1, *others).contiguous()
        if scale is None:
            made = target(units, [after, *others], *settings, None)
        else:
            made = target(units, None, *settings, [scale, *[1.0] * (rank - 1)])
        return made.reshape(before, after, -1)[..., 0].t().contiguous()  # type: ignore[no-any-return]
