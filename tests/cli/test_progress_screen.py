"""Progress on the screen: lines in a pipe, one live line on a terminal, and the words of the time left."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from edgepack.cli.screen.progress import ProgressLine
from edgepack.progress import ProgressState


def state(number: int, text: str, left: float, *, is_known: bool = True) -> ProgressState:
    return ProgressState(number, 3, text, number / 3, left, 0.0, is_known)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_in_a_pipe_it_is_a_line_for_each_step() -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    line = ProgressLine(console)
    line.show(state(1, "load [b]net.py[/b]", 50.0, is_known=False))
    line.show(state(2, "export onnx", 45.0))
    line.show(state(3, "", 0.0))
    line.end()
    assert written(console) == "[1/3] load [b]net.py[/b]\n[2/3] export onnx  (about 45 s left)\n"


@pytest.mark.parametrize(
    ("left", "words"),
    [(3.0, "a few seconds left"), (44.6, "about 45 s left"), (100.0, "about 2 min left")],
)
def test_the_time_left_in_words(left: float, words: str) -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    ProgressLine(console).show(state(1, "run", left))
    assert written(console) == f"[1/3] run  ({words})\n"


@pytest.mark.parametrize("width", [40, 80, 160])
def test_on_a_terminal_it_is_one_live_line_that_goes_at_the_end(width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    line = ProgressLine(console)
    line.show(state(1, "load", 30.0))
    line.show(state(2, "export [b]onnx[/b] " + "of a model with a long name " * 9 + "end", 30.0))
    line.show(state(3, "", 0.0))
    line.end()
    shown = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", written(console))
    assert "2/3" in shown
    assert "about 30 s left" in shown
    assert "export [b]" in shown or width == 40
    assert all(cell_len(each) <= width for each in re.split(r"[\r\n]", shown))
    assert written(console).endswith("\x1b[2K")


def test_the_live_line_counts_down_and_not_below_a_share_of_an_overrun() -> None:
    now = [0.0]
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    line = ProgressLine(console, lambda: now[0])
    told = []
    line.show(state(1, "run", 60.0))
    for now[0] in (0.0, 20.0, 59.0, 400.0):
        found = re.search(r"(about \d+ \w+|a few seconds) left", line._line().plain)
        told.append(found and found[1])
    line.end()
    assert told == ["about 60 s", "about 40 s", "about 15 s", "about 2 min"]
