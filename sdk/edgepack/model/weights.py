"""Weights: find the state dict of a model in a checkpoint, whatever it is wrapped in, and load it.

Trainers and wrappers save one state dict in many forms: below a key (`state_dict`, `model`, `params_ema`),
with a prefix (`module.` of DataParallel, `model.` of Lightning), with a component inside the keys
(`_orig_mod` of torch.compile), beside other networks and the state of losses. All these are one question:
below which prefix of the checkpoint's keys lies exactly what the model needs?
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch.nn.parameter import is_lazy

from edgepack.errors import SourceError
from edgepack.model.checkpoint import Checkpoint, StateDict

_SHOWN = 3
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Components that torch.compile, FSDP and activation checkpointing put into keys anywhere."""
_USUAL = ("state_dict", "model_state_dict", "model_state", "model", "net", "params", "generator")
"""Keys of the weights that a checkpoint is about, the most usual first."""
_AVERAGED = re.compile(r"(^|[._])ema([._]|$)")
_BOOKKEEPING = ("num_batches_tracked", "n_averaged", "total_ops", "total_params", "position_ids")
"""Last components of keys without weights: counters of batch norm, of averaging and of profilers, and the
positions that transformers stored before version 4.31. The model works without them."""
_WEIGHT_NORM = (
    ("weight_g", "parametrizations.weight.original0"),
    ("weight_v", "parametrizations.weight.original1"),
)
"""Keys of `torch.nn.utils.weight_norm`, and of its successor in `parametrizations`."""


@dataclass(frozen=True)
class _Fit:
    """How a checkpoint's keys below `removed`, with `added` before the rest, compare with the model's."""

    removed: str
    added: str
    state: StateDict
    """The tensors by the model's canonical keys."""
    missing: tuple[str, ...]
    strange: tuple[str, ...]
    shapes: tuple[str, ...]
    """Sentences: keys whose shapes differ, or of which one is integer."""
    matched: int

    @property
    def is_exact(self) -> bool:
        return not (self.missing or self.strange or self.shapes)


def put(checkpoint: Checkpoint, module: torch.nn.Module) -> list[str]:
    """Load the weights that fit `module` exactly, and tell in notes what was chosen and removed.

    Raises SourceError if none fit, or if several do and neither their names nor their values decide.
    """
    own = _OwnKeys.of(module)
    file = _canonical_file(checkpoint, own)
    fits = [_fit(own, file, *prefixes) for prefixes in _prefixes(own, file, checkpoint)]
    exact = [fit for fit in fits if fit.is_exact]
    if not exact:
        raise _misfit(checkpoint, own, max(fits, key=lambda fit: fit.matched), file)
    chosen = _preferred(exact, checkpoint)
    module.load_state_dict(own.actual(chosen.state), strict=False)
    return _notes(chosen, exact, checkpoint, file)


@dataclass(frozen=True)
class _OwnKeys:
    """The keys of a model's state dict, without components of wrappers."""

    tensors: StateDict
    names: dict[str, str]
    """The model's own key for each canonical one."""
    tied: tuple[frozenset[str], ...]
    """Groups of keys that are one tensor: files may hold it once."""

    @classmethod
    def of(cls, module: torch.nn.Module) -> _OwnKeys:
        state = {k: v for k, v in module.state_dict(keep_vars=True).items() if isinstance(v, torch.Tensor)}
        names = {_unwrapped(key): key for key in state}
        groups: dict[int, set[str]] = {}
        for key, name in names.items():
            groups.setdefault(id(state[name]), set()).add(key)
        tied = tuple(frozenset(group) for group in groups.values() if len(group) > 1)
        return cls({key: state[name] for key, name in names.items()}, names, tied)

    def actual(self, state: StateDict) -> StateDict:
        return {self.names[key]: value for key, value in state.items()}

    def missing(self, state: StateDict) -> Iterator[str]:
        """Keys that a state must have and has not."""
        for key in self.tensors:
            tied = any(key in group and group & state.keys() for group in self.tied)
            if key not in state and not tied and not _is_bookkeeping(key):
                yield key


def _unwrapped(key: str) -> str:
    return ".".join(part for part in key.split(".") if part not in _WRAPPERS)


def _is_bookkeeping(key: str) -> bool:
    return key.rpartition(".")[2] in _BOOKKEEPING


def _canonical_file(checkpoint: Checkpoint, own: _OwnKeys) -> StateDict:
    """The file's tensors without components of wrappers, and with weight norm as the model has it."""
    renamed = [(old, new) for old, new in _WEIGHT_NORM if any(key.endswith(f".{new}") for key in own.tensors)]
    found: StateDict = {}
    for key, value in checkpoint.tensors.items():
        canonical = _unwrapped(key)
        for old, new in renamed:
            if canonical.endswith(f".{old}"):
                canonical = canonical.removesuffix(old) + new
        found[canonical] = value
    return found


def _prefixes(own: _OwnKeys, file: StateDict, checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Prefixes to remove from the file's keys, each with one to add: those under which some key fits."""
    found: dict[tuple[str, str], None] = {("", ""): None}
    keys = [key for key in own.tensors if not _is_bookkeeping(key)]
    probes = {keys[0], keys[len(keys) // 2], keys[-1]} if keys else set()
    for added in _chain(keys):
        for probe in sorted(probes):
            rest = probe.removeprefix(added)
            ends = (key for key in file if key == rest or key.endswith(f".{rest}"))
            found.update(dict.fromkeys((key[: len(key) - len(rest)], added) for key in ends))
    found.update(dict.fromkeys((f"{_unwrapped(name)}.", "") for name in checkpoint.containers if name))
    return list(found)


def _chain(keys: list[str]) -> list[str]:
    """The prefixes that all of a model's keys have, the empty one first: '', 'net.', 'net.body.'."""
    found = [""]
    while keys and all(key.startswith(found[-1]) for key in keys):
        head = keys[0].removeprefix(found[-1]).partition(".")
        if not head[1]:
            break
        found.append(f"{found[-1]}{head[0]}.")
    return [prefix for prefix in found if all(key.startswith(prefix) for key in keys)]


def _fit(own: _OwnKeys, file: StateDict, removed: str, added: str) -> _Fit:
    below = {added + key[len(removed) :]: value for key, value in file.items() if key.startswith(removed)}
    state = {key: value for key, value in below.items() if key in own.tensors}
    shapes = [
        f"{key} is {_form(value, mine)} in the file, {_form(mine, value)} in the model"
        for key, value, mine in ((key, value, own.tensors[key]) for key, value in state.items())
        if not is_lazy(mine) and _differ(value, mine)
    ]
    strange = [key for key in below if key not in own.tensors and not _is_bookkeeping(key)]
    missing = tuple(own.missing(state))
    return _Fit(removed, added, state, missing, tuple(strange), tuple(shapes), len(state) - len(shapes))


def _preferred(exact: list[_Fit], checkpoint: Checkpoint) -> _Fit:
    """The averaged weights, else those under the most usual key. Raises SourceError if neither decides."""
    plain = next((fit for fit in exact if not fit.removed and not fit.added), None)
    if plain is not None:
        return plain
    ranked = sorted(exact, key=_rank)
    rivals = [fit for fit in ranked if _rank(fit) == _rank(ranked[0]) and not _is_same(fit, ranked[0])]
    if rivals:
        names = [_called(fit) for fit in (ranked[0], *rivals)]
        raise SourceError(
            f"{checkpoint.path} contains several sets of weights that fit the model: {', '.join(names)}",
            hint="save the one that you want in a file of its own",
        )
    return ranked[0]


def _rank(fit: _Fit) -> tuple[bool, int]:
    words = re.split(r"[._]", fit.removed)
    named = [n for n, name in enumerate(_USUAL) if fit.removed.startswith(f"{name}.") or name in words]
    return not _AVERAGED.search(fit.removed), min(named, default=len(_USUAL))


def _is_same(one: _Fit, other: _Fit) -> bool:
    return one.state.keys() == other.state.keys() and all(
        torch.equal(value, other.state[key]) for key, value in one.state.items()
    )


def _called(fit: _Fit) -> str:
    return f"'{fit.removed.rstrip('.')}'" if fit.removed else "the keys without prefix"


def _notes(chosen: _Fit, exact: list[_Fit], checkpoint: Checkpoint, file: StateDict) -> list[str]:
    """What was done to the keys: one sentence each."""
    name = checkpoint.path.name
    notes = []
    container = checkpoint.container(chosen.removed.removesuffix("."))
    others = [_called(fit) for fit in exact if fit is not chosen and not _is_same(fit, chosen)]
    if container:
        besides = f"; {', '.join(others)} would fit, too" if others else ""
        notes.append(f"weights: '{container}' of {name} was taken{besides}")
    elif others:
        notes.append(f"weights: {_called(chosen)} of {name} was taken; {', '.join(others)} would fit, too")
    prefix = chosen.removed.removeprefix(f"{container}." if container else "")
    inside = [part for part in _WRAPPERS if any(part in key.split(".") for key in checkpoint.tensors)]
    removed = [f"'{prefix}'"] * bool(prefix) + [f"'{part}.'" for part in inside]
    if removed:
        notes.append(f"weights: removed {' and '.join(removed)} from the keys of {name}")
    if chosen.added:
        notes.append(f"weights: put '{chosen.added}' before the keys of {name}")
    beside = [
        key.removeprefix(f"{container}." if container else "")
        for key in file
        if not key.startswith(chosen.removed)
        and not _is_bookkeeping(key)
        and checkpoint.container(key) == container
    ]
    if beside:
        notes.append(f"weights: {first(beside)} of {name} belong to no part of the model")
    kinds = {str(v.dtype).removeprefix("torch.") for v in chosen.state.values() if _is_half(v)}
    if kinds:
        notes.append(f"weights: {name} stores {' and '.join(sorted(kinds))} values")
    return notes


def _is_half(value: torch.Tensor) -> bool:
    return value.is_floating_point() and value.element_size() < torch.float32.itemsize


def _misfit(checkpoint: Checkpoint, own: _OwnKeys, best: _Fit, file: StateDict) -> SourceError:
    """The error of a checkpoint of which nothing fits, with the change of keys that would help most."""
    problems = [
        *([f"the file lacks {first(best.missing)}"] if best.missing else []),
        *([f"the model has no {first(best.strange)}"] if best.strange else []),
        *([first(best.shapes)] if best.shapes else []),
    ]
    prefix = f"with '{best.removed}' removed from its keys, " if best.removed else ""
    prefix += f"with '{best.added}' put before its keys, " if best.added else ""
    return SourceError(
        f"{checkpoint.path} does not fit the model: {prefix}{'; '.join(problems)}",
        hint=_advice(own, best, file)
        or "check that the weights belong to this architecture and number of classes",
    )


def _advice(own: _OwnKeys, best: _Fit, file: StateDict) -> str:
    """The exchange of one prefix for another that makes most keys match; empty if none helps."""
    free: dict[tuple[str, torch.Size], list[str]] = {}
    for key, value in file.items():
        free.setdefault((key.rpartition(".")[2], value.shape), []).append(key)
    counted: Counter[tuple[str, str]] = Counter()
    for key in best.missing:
        if is_lazy(own.tensors[key]):
            continue
        alike = free.get((key.rpartition(".")[2], own.tensors[key].shape), [])
        counted.update({_exchange(other, key) for other in alike})
    if not counted:
        return ""
    (old, new), count = max(counted.items(), key=lambda item: (item[1], len(item[0][0])))
    reached, needed = best.matched + count, len(own.tensors)
    if count < max(2, len(best.missing) // 2):
        return ""
    change = f"'{old}' → '{new}'" if old else f"'{new}' before them"
    return f"{reached} of {needed} keys would match with {change} in the file's keys"


def _exchange(file_key: str, own_key: str) -> tuple[str, str]:
    """The beginnings of two keys that differ, with the longest common end cut off."""
    left, right = file_key.split("."), own_key.split(".")
    while left and right and left[-1] == right[-1]:
        left.pop()
        right.pop()
    return ".".join(left), ".".join(right)


def first(words: Iterable[str]) -> str:
    """The first of many keys, and how many more there are."""
    found = list(words)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def _differ(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors cannot take each other's values: another shape, or integers for floats."""
    return one.shape != other.shape or one.is_floating_point() != other.is_floating_point()


def _form(tensor: torch.Tensor, other: torch.Tensor) -> str:
    """The shape of a tensor; where `other` has the same, its type."""
    if tensor.shape == other.shape:
        return str(tensor.dtype).removeprefix("torch.")
    return "x".join(str(size) for size in tensor.shape) or "a scalar"
