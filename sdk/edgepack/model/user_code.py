"""The line of the user's model that an error, a running operator or a node of a graph comes from."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

import torch
from torch.fx import Node

_OURS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))
_LINE = re.compile(r'File "([^"]+)", line (\d+)')


def of_error(cause: BaseException) -> str:
    """The line in which an error arose, as in `model.py, line 17: if x.max() > 50:`; empty if it is none."""
    places = []
    trace = cause.__traceback__
    while trace is not None:
        places.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return _last(places) or (of_error(cause.__cause__) if cause.__cause__ else "")


def of_caller() -> str:
    """The line that is running; empty if it is none of the user's."""
    places = []
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        places.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return _last(places[::-1])


def of_node(node: Node) -> str:
    """The line that a node of a captured graph comes from; empty if it is unknown."""
    trace = str(node.meta.get("stack_trace") or "")
    return _last([(file, int(line)) for file, line in _LINE.findall(trace)])


def _last(places: Iterable[tuple[str, int]]) -> str:
    """The innermost place that is in a file of neither torch nor edgepack."""
    own = [(file, line) for file, line in places if not file.startswith((*_OURS, "<"))]
    own = [each for each in own if Path(each[0]).is_file()]
    if not own:
        return ""
    file, number = own[-1]
    text = linecache.getline(file, number).strip()
    return f"{Path(file).name}, line {number}{f': {text}' if text else ''}"
