"""The search: down the ladder to the first candidate within the goal, each one told with its outcome."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from edgepack.compress import ptq, sensitivity
from edgepack.compress.calibration import Calibration
from edgepack.compress.search import Candidate, Search
from edgepack.errors import ExportError
from edgepack.model.source import Source
from edgepack.recipe import Recipe, Step
from edgepack.report import Artifact, Figures, Refusal
from edgepack.scheme import SchemeName

SPENT = "the search budget is spent: the search ends"


def _trial(
    recipe: Recipe | SchemeName,
    missed: str = "",
    idle: str = "",
    agreement: float | None = 99.0,
    sqnr_db: float = 30.0,
) -> Candidate:
    given = recipe if isinstance(recipe, Recipe) else Recipe(recipe)
    artifact = Artifact(
        file=f"model/net-{given.scheme}.onnx", format="onnx", scheme=given.scheme, bytes=1000,
        bytes_gzip=500, size_ratio=0.5, export_seconds=0.0, checks=(), quantized=None, delegated=None,
        figures=Figures(agreement=agreement, sqnr_db=sqnr_db), kept_float=(), notes=(), recipe=given,
    )  # fmt: skip
    return Candidate(given, (artifact,), (Path("net.onnx"),), (), missed, idle)


class Shop:
    """Gives the trials that it holds, and keeps count."""

    def __init__(self, *trials: Candidate, refused: tuple[SchemeName, ...] = ()) -> None:
        self.refused = refused
        self.trials = {trial.recipe.scheme: trial for trial in trials}
        self.asked: list[Recipe] = []

    def __call__(self, recipe: Recipe) -> Candidate:
        self.asked.append(recipe)
        if recipe.scheme in self.refused:
            raise ExportError(f"{recipe.scheme} cannot be written", hint="try another")
        held = self.trials[recipe.scheme]
        return held if held.recipe == recipe else _trial(recipe, held.missed, held.no_gain)


FLOAT = _trial("fp32", agreement=100)


def _search(
    shop: Shop,
    ladder: Sequence[SchemeName | Recipe],
    *,
    base: Candidate = FLOAT,
    calibration: Calibration | None = None,
    forced: bool = False,
    keep_best: bool = False,
    deadline: float = math.inf,
    wider: Recipe | None = None,
) -> Search:
    steps = tuple(
        Step("onnx", each.scheme, "", each) if isinstance(each, Recipe) else Step("onnx", each, "")
        for each in ladder
    )
    shop.trials.setdefault(base.recipe.scheme, base)
    return Search(steps, base, calibration, shop, forced, keep_best, deadline, wider)


def _told(search: Search) -> dict[str, str]:
    return {each.artifact.scheme: each.outcome for each in search.tried}


def test_the_first_within_the_goal_is_shipped_and_no_other_is_tried() -> None:
    shop = Shop(_trial("w8"), _trial("fp16"))
    search = _search(shop, ["w8", "fp16", "fp32"])
    assert search.run() is shop.trials["w8"]
    assert shop.asked == [Recipe("w8")]
    assert _told(search) == {"fp32": "float reference", "w8": "shipped"}


def test_one_that_misses_the_goal_is_followed_by_the_next() -> None:
    shop = Shop(_trial("w8", missed="agreement 90 % is under the limit of 95"), _trial("fp16"))
    search = _search(shop, ["w8", "fp16", "fp32"])
    assert search.run().recipe.scheme == "fp16"
    assert _told(search)["w8"] == "agreement 90 % is under the limit of 95"
    assert _told(search)["fp16"] == "shipped"


def test_one_that_does_not_pay_is_followed_by_the_next_too() -> None:
    shop = Shop(_trial("w8", idle="w8 is slower than float"))
    search = _search(shop, ["w8", "fp32"])
    assert search.run() is FLOAT
    assert _told(search) == {"fp32": "shipped", "w8": "w8 is slower than float"}
    assert [each.artifact.scheme for each in search.tried] == ["fp32", "w8"]


def test_by_hand_what_does_not_pay_is_shipped_and_told_loudly() -> None:
    shop = Shop(_trial("w8", idle="w8 is slower than float"))
    search = _search(shop, ["w8"], forced=True)
    assert search.run().recipe.scheme == "w8"
    assert _told(search)["w8"] == "shipped, as asked for by hand: w8 is slower than float"


def test_by_hand_what_misses_is_shipped_and_not_float() -> None:
    shop = Shop(_trial("w8", missed="sqnr 3 dB is under the limit of 8"))
    search = _search(shop, ["w8"], forced=True)
    assert search.run().recipe.scheme == "w8"
    assert _told(search)["w8"] == "shipped, as asked for by hand: sqnr 3 dB is under the limit of 8"


def test_a_recipe_by_hand_is_tried_as_it_is() -> None:
    mine = Recipe("w8a8", {"stem": "fp32"})
    shop = Shop(_trial(mine))
    assert _search(shop, [mine], forced=True).run().recipe is mine
    assert shop.asked == [mine]


def test_where_float_itself_misses_it_is_shipped_as_the_best_there_is() -> None:
    base = _trial("fp16", missed="sqnr 20 dB is under the limit of 30")
    shop = Shop(_trial("w8", missed="worse"))
    search = _search(shop, ["w8", "fp16"], base=base)
    assert search.run() is base
    assert _told(search)["fp16"] == "shipped, the best there is: sqnr 20 dB is under the limit of 30"


@pytest.mark.parametrize("classes", [True, False])
def test_of_those_that_all_miss_the_one_that_answers_best_is_kept_where_pruning_was_asked_for(
    classes: bool,
) -> None:
    def missing(scheme: SchemeName, agreement: float, sqnr_db: float) -> Candidate:
        return _trial(scheme, "missed", "", agreement if classes else None, sqnr_db)

    shop = Shop(missing("w8", 90, 12), missing("w4", 70, 5), missing("fp16", 90.2, 13))
    for ladder in (["w8", "w4", "fp16"], ["w4", "w8", "fp16"]):
        search = _search(shop, ladder, keep_best=True)
        assert search.run().recipe.scheme == "w8", "of equals the one that saves more"
        assert _told(search)["w8"] == "shipped, the best there is: missed"
    assert _search(shop, ["w8", "w4", "fp16"]).run() is FLOAT


def test_a_spent_budget_ends_it_after_the_first_candidate() -> None:
    shop = Shop(_trial("w8", missed="missed"), _trial("fp16"))
    search = _search(shop, ["w8", "fp16", "fp32"], deadline=time.monotonic() - 1)
    assert search.run() is FLOAT
    assert shop.asked == [Recipe("w8")]
    assert _told(search)["fp32"] == f"shipped; {SPENT}"
    forced = _search(shop, ["w8", "fp16"], forced=True, deadline=time.monotonic() - 1)
    assert forced.run().recipe.scheme == "w8"
    assert _told(forced)["w8"] == f"shipped, as asked for by hand: missed; {SPENT}"


def test_a_candidate_within_the_goal_is_shipped_whatever_the_time() -> None:
    search = _search(Shop(_trial("w8")), ["w8", "fp32"], deadline=time.monotonic() - 1)
    assert search.run().recipe.scheme == "w8"
    assert SPENT not in _told(search)["w8"]


# With samples: mixed precision between the int8 rung and the next


@pytest.fixture(scope="module")
def calibration(small_source: Source) -> Calibration:
    found = Calibration(small_source)
    found.once(("recipe", "w8a8"), lambda: Recipe("w8a8"))
    return found


def test_more_layers_stay_in_float_until_the_goal_is_met(calibration: Calibration) -> None:
    shop = Shop(_trial("w8a8", missed="missed"), _trial("fp16"))
    search = _search(shop, ["w8a8", "fp16"], calibration=calibration)
    assert search.run().recipe.scheme == "fp16"
    whole, *mixed, last = shop.asked
    assert (whole, last) == (Recipe("w8a8"), Recipe("fp16"))
    assert 1 <= len(mixed) <= 2
    worst = [each.path for each in sensitivity.analyze(calibration)]
    kept = [list(each.layers) for each in mixed]
    assert all(each == worst[: len(each)] for each in kept)
    assert [len(each) for each in kept] == sorted({len(each) for each in kept})
    assert {scheme for each in mixed for scheme in each.layers.values()} == {"fp32"}
    gains = [ptq.score(calibration, each).ranking_db for each in (whole, *mixed)]
    assert all(after >= before + 1 for before, after in itertools.pairwise(gains))


def test_layers_stay_in_the_float_that_the_format_has(calibration: Calibration) -> None:
    shop = Shop(_trial("w8a8", missed="missed"))
    search = _search(shop, ["w8a8"], base=_trial("fp16", agreement=100), calibration=calibration)
    search.run()
    assert {scheme for each in shop.asked[1:] for scheme in each.layers.values()} == {"fp16"}


def test_what_is_slower_than_float_is_not_mixed_with_float(calibration: Calibration) -> None:
    shop = Shop(_trial("w8a8", missed="missed", idle="slower"))
    _search(shop, ["w8a8", "fp32"], calibration=calibration).run()
    assert [each.scheme for each in shop.asked] == ["w8a8", "fp32"]


def test_first_layers_in_float_are_given_up_where_they_make_it_slow(small_source: Source) -> None:
    cheap = Calibration(small_source)
    cheap.once(("recipe", "w8a8"), lambda: Recipe("w8a8", {"stem": "fp32"}))
    shop = Shop(_trial("w8a8", idle="slower"))
    _search(shop, ["w8a8", "fp32"], calibration=cheap).run()
    assert shop.asked == [Recipe("w8a8", {"stem": "fp32"}), Recipe("w8a8"), Recipe("fp32")]


def test_a_spent_budget_does_not_begin_with_the_sensitivity(small_source: Source) -> None:
    fresh = Calibration(small_source)
    fresh.once(("recipe", "w8a8"), lambda: Recipe("w8a8"))
    shop = Shop(_trial("w8a8", missed="missed"))
    assert _search(shop, ["w8a8", "fp32"], calibration=fresh, deadline=time.monotonic() - 1).run() is FLOAT
    assert "sensitivity" not in fresh.seconds


def test_one_that_cannot_be_written_is_a_refusal_and_is_followed_by_the_next() -> None:
    shop = Shop(_trial("fp16"), refused=("w8",))
    search = _search(shop, ["w8", "fp16", "fp32"])
    assert search.run().recipe.scheme == "fp16"
    assert _told(search) == {"fp32": "float reference", "fp16": "shipped"}
    assert search.refusals == [Refusal("onnx", "w8", "w8 cannot be written", "try another")]


def test_a_correction_that_cannot_be_computed_is_a_refusal_and_is_followed_by_the_next(
    small_source: Source,
) -> None:
    class Broken(Calibration):
        def once(self, key: Hashable, compute: Callable[[], Any]) -> Any:
            return super().once(key, lambda: torch.linalg.cholesky(-torch.eye(2)))

    shop = Shop(_trial("w8"))
    search = _search(shop, ["w8a8", "w8", "fp32"], calibration=Broken(small_source))
    assert search.run().recipe.scheme == "w8"
    (refusal,) = search.refusals
    assert refusal.scheme == "w8a8"
    assert refusal.why.startswith("the corrections cannot be computed: _LinAlgError: ")


def test_float_ships_where_nothing_else_can_be_written() -> None:
    shop = Shop(refused=("w8", "p6"))
    search = _search(shop, ["p6", "w8", "fp32"])
    assert search.run() is FLOAT
    assert [each.scheme for each in search.refusals] == ["p6", "w8"]


def test_by_hand_what_cannot_be_written_is_an_error() -> None:
    with pytest.raises(ExportError, match="w8 cannot be written"):
        _search(Shop(refused=("w8",)), ["w8"], forced=True).run()


OVERFLOWS = _trial("fp16", missed="runs: the file returns NaN or infinity", agreement=None)


def test_more_precise_floats_ship_where_the_last_float_scheme_misses() -> None:
    shop = Shop(_trial("p6", missed="runs: the file returns NaN or infinity"), FLOAT)
    search = _search(shop, ["p6", "fp16"], base=OVERFLOWS, wider=Recipe("fp32"))
    assert search.run() is FLOAT
    assert _told(search)["fp16"] == "runs: the file returns NaN or infinity"
    assert _told(search)["fp32"] == "shipped, because fp16 misses: runs: the file returns NaN or infinity"


def test_more_precise_floats_that_miss_too_do_not_ship() -> None:
    shop = Shop(_trial("fp32", missed="sqnr 3 dB is under the limit of 60"))
    assert _search(shop, ["fp16"], base=OVERFLOWS, wider=Recipe("fp32")).run() is OVERFLOWS
