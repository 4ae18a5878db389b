"""Mixed precision: a mix is as wide as the noise it may leave."""

from __future__ import annotations

import torch

from edgepack import metrics
from edgepack.compress import mixed_precision, ptq
from edgepack.compress.calibration import Calibration
from edgepack.compress.counts import layer_costs
from edgepack.model.inference import tensors
from edgepack.model.source import Source
from edgepack.recipe import Recipe


def _sqnr(given: Source, ready: Source) -> float:
    """Of the outputs for the evaluation samples, in dB."""
    module = ready.exported.module()
    rows = list(zip(given.evaluation.inputs, given.reference))[:200]
    with torch.no_grad():
        return metrics.sqnr_db((module(*tensors(row))[0].numpy(), exact[0]) for row, exact in rows)


def test_a_mix_is_as_wide_as_the_noise_it_may_leave(fashion: Source) -> None:
    calibration = Calibration(fashion)
    sizes = {path: each.values for path, each in layer_costs(fashion).items()}
    bits = {"p4": 4, "p6": 6, "p8": 8}
    mixes = [mixed_precision.mix_palettes(calibration, share) for share in (1.0, 0.25, 0.06, 0.0)]
    bytes_of = [sum(bits[mix.of(path)] * size for path, size in sizes.items()) for mix in mixes]
    assert mixes[0] == Recipe("p4", gptq=True)
    assert bytes_of == sorted(bytes_of)
    assert len(set(bytes_of)) == 4
    assert set(mixes[3].layers.values()) == {"p8"}
    reached = [_sqnr(fashion, ptq.prepare(calibration, mix)) for mix in mixes]
    assert reached == sorted(reached)
    assert reached[2] > reached[0] + 6
