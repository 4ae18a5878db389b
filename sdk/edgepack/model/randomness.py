"""Random numbers that a model draws in inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from edgepack.model import user_code


def drawn_by(run: Callable[[], object]) -> list[tuple[str, str]]:
    """The operators that draw random numbers in `run`: their names, and the lines of the user's model."""
    found: list[tuple[str, str]] = []
    with torch.no_grad(), _Listener(found):
        run()
    return list(dict.fromkeys(found))


class _Listener(TorchDispatchMode):
    def __init__(self, found: list[tuple[str, str]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.found.append((str(func), user_code.of_caller()))
        return func(*args, **(kwargs or {}))
