"""Models of other floating point types, computed in float32: half, bfloat16 and double.

Toolchains quantize float32 models. Weights are converted once; what `forward` itself casts or creates in
another type, also by autocast, is computed in float32 while `InFloat32` is active.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_REPLACED: dict[torch.dtype, torch.dtype] = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float64: torch.float32,
    torch.complex32: torch.complex64,
    torch.complex128: torch.complex64,
}
_METHODS: dict[Any, torch.dtype] = {
    torch.Tensor.half: torch.float16,
    torch.Tensor.bfloat16: torch.bfloat16,
    torch.Tensor.double: torch.float64,
}
_TENSOR_TYPES: dict[Any, torch.dtype] = {
    torch.HalfTensor: torch.float16,
    torch.BFloat16Tensor: torch.bfloat16,
    torch.DoubleTensor: torch.float64,
    "torch.HalfTensor": torch.float16,
    "torch.BFloat16Tensor": torch.bfloat16,
    "torch.DoubleTensor": torch.float64,
}
"""What `Tensor.type` takes."""
_DEVICE = "cpu"


def with_float32_weights(module: torch.nn.Module) -> tuple[str, ...]:
    """Convert parameters and buffers of `module` to float32, in place; return the types that were converted.

    The default type of new tensors, which a model's file may have changed, is float32 again afterwards.
    """
    torch.set_default_dtype(torch.float32)
    held = [*module.parameters(), *module.buffers()]
    found = {each.dtype for each in held if each.dtype in _REPLACED and not each.is_complex()}
    if found:
        module.float()
    return tuple(sorted(str(each).removeprefix("torch.") for each in found))


class InFloat32(TorchFunctionMode):
    """While this mode is active, operators compute in float32 what they are asked for in another float type.

    Casts, `dtype=` arguments, new tensors and autocast all give float32 (or complex64).
    """

    def __init__(self) -> None:
        super().__init__()
        self.replaced: set[str] = set()
        """Names of the types that were asked for, and `autocast`."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _METHODS:
            self._note(_METHODS[func])
            return args[0].float()
        converted = self._converted(args)
        named = {key: self._converted(value) for key, value in (kwargs or {}).items()}
        if not torch.is_autocast_enabled(_DEVICE):
            return self._converted(func(*converted, **named))
        self.replaced.add("autocast")
        torch.set_autocast_enabled(_DEVICE, False)
        try:
            return self._converted(func(*converted, **named))
        finally:
            torch.set_autocast_enabled(_DEVICE, True)

    def _converted(self, value: Any) -> Any:
        """`value` with tensors and types in float32, also in lists, tuples and slices of them."""
        if isinstance(value, torch.Tensor):
            if value.dtype not in _REPLACED:
                return value
            self._note(value.dtype)
            return value.to(_REPLACED[value.dtype])
        if isinstance(value, torch.dtype):
            if value in _REPLACED:
                self._note(value)
            return _REPLACED.get(value, value)
        if isinstance(value, (str, type(torch.FloatTensor))) and value in _TENSOR_TYPES:
            self._note(_TENSOR_TYPES[value])
            return "torch.FloatTensor"
        if type(value) in (list, tuple):
            return type(value)(self._converted(each) for each in value)
        return value

    def _note(self, dtype: torch.dtype) -> None:
        self.replaced.add(str(dtype).removeprefix("torch."))
