"""Normalization: a captured graph becomes one that every format can read, before any format sees it.

A pass changes a graph in place, returns how many changes it made, and is exact: outputs stay the same up to
rounding. The passes run in the order of `PASSES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch.export import ExportedProgram
from torch.fx import GraphModule

from edgepack.graph.fold_batch_norm import fold_batch_norm
from edgepack.graph.in_place import without_in_place
from edgepack.graph.same_padding import with_numbers
from edgepack.model.normalize.assignments import replace_assignments
from edgepack.model.normalize.complex_numbers import replace_complex
from edgepack.model.normalize.constants import fold_constants
from edgepack.model.normalize.identities import remove_dropout, remove_identities, without_checks
from edgepack.model.normalize.inline_regions import inline_regions
from edgepack.model.normalize.layers import fold_affine, restore_linear, sink_permutes
from edgepack.model.normalize.own_statistics import replace_batch_statistics
from edgepack.model.normalize.owned_constants import own_constants
from edgepack.model.normalize.writes import drop_state_writes, restore_batch_norm, without_writes, writes


@dataclass(frozen=True)
class Pass:
    """One step of normalization."""

    name: str
    run: Callable[[GraphModule], int]
    """Change a graph in place; return how many changes were made."""


BEFORE_WRITES = (
    Pass("inline regions", inline_regions),
    Pass("remove dropout", remove_dropout),
    Pass("replace in-place operators", without_in_place),
    Pass("pad in numbers", with_numbers),
    Pass("replace batch statistics", replace_batch_statistics),
    Pass("fold batch norm", fold_batch_norm),
)
"""Passes on the graph as torch.export captures it."""
PASSES = (
    Pass("restore batch norm", restore_batch_norm),
    Pass("drop state writes", drop_state_writes),
    Pass("replace assignments", replace_assignments),
    Pass("remove identities", remove_identities),
    Pass("restore linear layers", restore_linear),
    Pass("sink permutations", sink_permutes),
    Pass("fold affine operators", fold_affine),
    Pass("fold constants", fold_constants),
    Pass("replace complex numbers", replace_complex),
    Pass("fold batch norm", fold_batch_norm),
    Pass("own constants", own_constants),
)
"""Passes on a graph in which nothing writes in place, but into buffers and inputs."""


def normalized(program: ExportedProgram, export: Callable[[GraphModule], ExportedProgram]) -> ExportedProgram:
    """`program` after all passes. `export` captures a graph again, with the sizes of the program."""
    module = program.module()
    assert isinstance(module, GraphModule)
    count = _run(BEFORE_WRITES, module)
    if writes(module):
        module = without_writes(export(module)).module()
        assert isinstance(module, GraphModule)
        count += 1
    count += _run(PASSES, module)
    return without_checks(export(module) if count else program)


def _run(passes: tuple[Pass, ...], module: GraphModule) -> int:
    count = sum(each.run(module) for each in passes)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return count
