"""The zoo of `benchmarks`: its table, its weights, a build, and the page that is written of results."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.zoo import page, preparation, result, run, samples, table
from benchmarks.zoo.architecture import Architecture
from benchmarks.zoo.result import FORMATS, PRECISIONS, Cell, Result


def _result(name: str, outcome: result.Outcome, why: str = "", ended: result.Ended = "") -> Result:
    cells = tuple(
        Cell(each, precision, outcome, "w8a8" if outcome == "pass" else "", 0.27, "98 %, 30 dB", why)
        for each in FORMATS
        for precision in PRECISIONS
    )
    return Result(name, 1_500_000, 0, 1.0, 500, cells, (), ended)


def test_at_least_150_architectures_each_once() -> None:
    names = [found.name for found in table.architectures()]
    assert len(names) == len(set(names)) >= 150
    assert set(table.SAMPLE) <= set(names)


def test_patterns_choose_architectures() -> None:
    assert [found.name for found in run.chosen(["audio/*lstm"])] == ["audio/lstm", "audio/bilstm"]
    assert sorted(found.name for found in run.chosen(["sample"])) == sorted(table.SAMPLE)


def test_weights_repeat_and_scores_tell_the_classes() -> None:
    architecture = table.find("audio/ds_cnn")
    module, again = preparation.prepare(architecture), preparation.prepare(architecture)
    arrays, classes = samples.make(architecture.feeds, 40, seed=9)
    rows = torch.from_numpy(arrays["x"])
    with torch.no_grad():
        scores = torch.cat([module(row) for row in rows])
        assert torch.equal(scores, torch.cat([again(row) for row in rows]))
    assert (scores.argmax(1).numpy() == classes).mean() > 0.8


def test_a_network_that_says_nothing_is_refused() -> None:
    silent = Architecture("audio/silent", lambda: torch.nn.Threshold(1e9, 0.0), table.find("audio/m5").feeds)
    with pytest.raises(preparation.DegenerateError, match="the same for every sample"):
        preparation.prepare(silent)


def test_the_page_counts_cells_and_numbers_reasons() -> None:
    good = _result("timm/good", "pass")
    bad = _result("audio/bad", "refused", "coreml cannot carry aten.stft", "traceback")
    text = page.written([good, bad])
    assert "| good | 1.5 M | w8a8 98 %, 30 dB | w8a8 0.27× 98 %, 30 dB |" in text
    assert "refused [1]" in text
    assert "1. coreml cannot carry aten.stft" in text
    assert "| int8 | 8 | 4 | 0 | 4 | 0 | 50 % |" in text
    assert page.summary([bad]).failed
    assert not page.summary([good]).failed


@pytest.mark.slow
def test_a_build_is_kept_and_not_repeated(tmp_path: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        (found,) = run.run(run.chosen(["audio/m5"]), tmp_path, 1, said.append)
    assert said == ["build audio/m5"]
    assert {cell.outcome for cell in found.cells} == {"pass"}
