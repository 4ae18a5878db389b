"""Quantization-aware training: weights are fine-tuned with fake quantization, the float model as teacher.

Only schemes with few values are worth the time of training (`Scheme.has_few_values`). The loss is that of
distillation; see `distillation.py` and `fake_quantize.py`.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn
from torch.fx import GraphModule

from edgepack.compress import distillation
from edgepack.compress.distillation import TrainingBudget
from edgepack.compress.fake_quantize import FakeQuantized
from edgepack.graph import layers as graphs
from edgepack.graph.weight_storage import WeightStorage
from edgepack.model.source import Source, reweighted
from edgepack.recipe import Recipe


def train(
    source: Source, recipe: Recipe, budget: TrainingBudget, storage: WeightStorage
) -> tuple[Source, tuple[str, ...]]:
    """`source` with weights that were trained for the schemes of `recipe`, and notes for the report.

    `storage` is how the file's format stores the weights. Labels are not used: the weights are close to
    those of the float model, and labels would change its predictions. Raises what `distillation.fine_tune`
    raises.
    """

    def as_stored(module: nn.Module) -> FakeQuantized:
        assert isinstance(module, GraphModule)
        layers = graphs.layers(module).items()
        floats = [path for path, layer in layers if storage.keeps_float(module, layer, recipe.of(path))]
        stored = replace(recipe, layers={**recipe.layers, **dict.fromkeys(floats, "fp32")})
        return FakeQuantized(module, stored, source.ranges, in_blocks=storage.in_blocks)

    unlabelled = source.calib and replace(source.calib, labels=None)
    trained = distillation.fine_tune(
        source.exported.module(), replace(source, calib=unlabelled), budget, as_stored
    )
    gain = f"validation SQNR {trained.before.sqnr_db:.1f} → {trained.after.sqnr_db:.1f} dB"
    note = f"quantization-aware training of {recipe.scheme}, {trained.steps} steps: {gain}"
    return reweighted(source, trained.module), (note, *trained.notes)
