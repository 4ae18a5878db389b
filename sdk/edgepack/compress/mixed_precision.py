"""Mixed precision: which layers get palettes of 4, 6 or 8 bits, for a bound on the noise at the output."""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgepack.compress import gptq, ptq, scoring
from edgepack.compress.calibration import Calibration, float_graph
from edgepack.compress.counts import layer_costs
from edgepack.compress.gptq import RoundedLayer
from edgepack.compress.sensitivity import SAMPLES
from edgepack.graph import layers as graphs
from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES, SchemeName

_PALETTES: tuple[SchemeName, ...] = tuple(
    scheme.name
    for scheme in sorted(SCHEMES.values(), key=lambda scheme: scheme.weight_bits)
    if scheme.is_palette and not scheme.sparse
)
"""Palettes of a mix, the narrowest first."""

Noises = dict[str, dict[SchemeName, float]]
"""Noise over signal at the output, by layer and palette."""


def mix_palettes(calibration: Calibration, share: float) -> Recipe:
    """4-bit palettes, with layers raised to 6 and 8 bits until `share` of the noise of 4 bits is left.

    Greedy: the layer whose next palette removes most noise for its size is raised first. The noise is that
    of `Score.ranking_db` with one layer alone in a palette; noises of layers are assumed to add up.
    """
    noises = calibration.once("palette noises", lambda: _noises(calibration))
    costs = layer_costs(calibration.source)
    widths = dict.fromkeys(noises, 0)

    def gain(path: str) -> float:
        now, then = (noises[path][_PALETTES[widths[path] + step]] for step in (0, 1))
        return (now - then) / costs[path].values

    bound = share * sum(each[_PALETTES[0]] for each in noises.values())
    while sum(noises[path][_PALETTES[width]] for path, width in widths.items()) > bound:
        raisable = [path for path, width in widths.items() if width + 1 < len(_PALETTES)]
        if not raisable:
            break
        widths[max(raisable, key=gain)] += 1
    raised = {path: _PALETTES[width] for path, width in widths.items() if width}
    return Recipe(_PALETTES[0], raised, gptq=True)


def _noises(calibration: Calibration) -> Noises:
    """Noise of each layer alone in each palette.

    It is measured at the output for 4 bits. For other widths it is taken in proportion to the noise at the
    layer's own outputs.
    """
    calibration.say("GPTQ on palettes, layer by layer")
    with calibration.timed("repairs"):
        module = float_graph(calibration.source)
        paths = gptq.candidates(module, Recipe(_PALETTES[0]))
        rounded = ptq.gptq_of(calibration, "none").layers(dict.fromkeys(paths, _PALETTES))
    calibration.say("sensitivity analysis of palettes, layer by layer")
    with calibration.timed("sensitivity"):
        return {
            path: _layer_noises(calibration, module, layer, [rounded[path, name] for name in _PALETTES])
            for path, layer in graphs.layers(module).items()
            if (path, _PALETTES[0]) in rounded
        }


def _layer_noises(
    calibration: Calibration, module: GraphModule, layer: Node, rounded: list[RoundedLayer]
) -> dict[SchemeName, float]:
    exact = gptq.current(module, layer)
    narrowest = rounded[0]
    gptq.place(module, layer, narrowest)
    noise = 10 ** (-scoring.score_model(calibration, module, SAMPLES).ranking_db / 10)
    gptq.place(module, layer, exact)
    least = max(narrowest.noise, 1e-30)
    return {name: noise * each.noise / least for name, each in zip(_PALETTES, rounded)}
