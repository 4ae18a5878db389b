"""Teaching: 4-bit weights learn, as they will be stored, to answer as the float model does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn
from torch.fx import GraphModule

from edgepack.compress import distillation
from edgepack.compress.fake_quantize import Faked
from edgepack.errors import PlanError, SourceError
from edgepack.graph import layers as graph
from edgepack.graph.weight_storage import WeightStorage
from edgepack.model.source import Source, reweighted
from edgepack.recipe import Recipe


@dataclass(frozen=True)
class Lessons:
    """How long a model may learn: by time, or by steps where a recipe gives them."""

    minutes: float
    steps: int | None
    seed: int

    @property
    def wanted(self) -> bool:
        return bool(self.minutes or self.steps)

    def __str__(self) -> str:
        return f"{self.steps} steps" if self.steps else f"at most {self.minutes:g} min"


def learn(
    student: nn.Module,
    source: Source,
    lessons: Lessons,
    fake: Callable[[nn.Module], nn.Module] | None = None,
) -> distillation.Recovered:
    """A copy of `student`, taught by the source's float model on its calibration samples.

    Raises PlanError without calibration samples.
    """
    if source.calib is None:
        raise PlanError("recovery learns from samples: give --calib")
    if source.module is None:
        raise SourceError("this source keeps no float module to learn from")
    return distillation.recover(
        student,
        source.module,
        source.calib,
        classifier=source.contract.classes is not None,
        minutes=lessons.minutes,
        steps=lessons.steps,
        seed=lessons.seed,
        fake=fake,
    )


def taught(
    source: Source, recipe: Recipe, lessons: Lessons, storage: WeightStorage
) -> tuple[Source, tuple[str, ...]]:
    """`source` with weights that learnt with those of `recipe` in place, as the format of
    `storage` stores them, and what to know of it.

    Labels are left aside: such weights begin near the float model's answers, and labels lead elsewhere.
    """

    def as_stored(module: nn.Module) -> Faked:
        assert isinstance(module, GraphModule)
        found = graph.layers(module).items()
        floats = [path for path, layer in found if storage.keeps_float(module, layer, recipe.of(path))]
        carried = replace(recipe, layers={**recipe.layers, **dict.fromkeys(floats, "fp32")})
        return Faked(module, carried, source.ranges, in_blocks=storage.in_blocks)

    calib = source.calib and replace(source.calib, labels=None)
    found = learn(source.exported.module(), replace(source, calib=calib), lessons, as_stored)
    before, after = found.before, found.after
    gained = f"held-out SQNR {before.sqnr_db:.1f} → {after.sqnr_db:.1f} dB"
    told = f"{recipe.scheme} learnt for {found.steps} steps: {gained}"
    return reweighted(source, found.module), (told, *found.notes)
