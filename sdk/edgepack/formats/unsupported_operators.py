"""The error about an operator that a format cannot export, with its module and source line in the model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from edgepack.errors import ExportError
from edgepack.silence import quiet

_NAMED = re.compile(r"(?:aten[.:]+|torch function for op '|function for op '|op ')(\w+)")
_LINE = re.compile(r'File "([^"]+)", line (\d+)')


def refusal(format_name: str, program: ExportedProgram, cause: BaseException) -> ExportError:
    """The error to raise where `format_name` failed on `program` with `cause`.

    If the cause's text contains an operator of the program, or of its decomposition to core ATen, the error
    has the operator, its module and its source line.
    """
    text = "\n".join(str(each) for each in _chain(cause))
    place = _place(program, text)
    if place:
        return ExportError(f"{format_name} cannot carry {place}")
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return ExportError(f"{format_name} cannot write the model: {type(cause).__name__}: {' '.join(lines[:2])}")


def refused(format_name: str, operator: Node | str, why: str) -> ExportError:
    """The error to raise where a format has not an operator, which is known before the export."""
    place = _described(operator) if isinstance(operator, Node) else f"operator {operator}"
    return ExportError(f"{format_name} cannot carry {place}: {why}")


def named(program: ExportedProgram, name: str) -> Node | None:
    """The first node of a program that calls the operator `name` (`aten::sort`), in a branch or loop, too."""
    plain = name.partition("::")[2].removesuffix("_copy")
    for module in program.graph_module.modules():
        nodes: list[Node] = list(module.graph.nodes) if isinstance(module, GraphModule) else []
        for node in nodes:
            called = str(node.target).split(".")
            if node.op == "call_function" and plain in called:
                return node
    return None


def _chain(cause: BaseException | None) -> Iterator[BaseException]:
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _place(program: ExportedProgram, text: str) -> str:
    names = {name.strip("_") for name in _NAMED.findall(text)}
    if not names:
        return ""
    for graph in (program, _decomposed(program)):
        for node in graph.graph.nodes if graph else ():
            if node.op == "call_function" and _base(node) in names:
                return _described(node)
    return ""


def _decomposed(program: ExportedProgram) -> ExportedProgram | None:
    with quiet():
        try:
            decomposed: ExportedProgram = program.run_decompositions()
            return decomposed
        except RuntimeError:
            return None


def _base(node: Node) -> str:
    return getattr(node.target, "__name__", str(node.target)).split(".")[0].strip("_")


def _described(node: Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values() if path]
    module = paths[-1].removeprefix("model.") if paths and paths[-1] != "model" else ""
    lines = _LINE.findall(node.meta.get("stack_trace") or "")
    own = [each for each in lines if "/torch/" not in each[0]] or lines
    where = f" ({own[-1][0]}, line {own[-1][1]})" if own else ""
    inside = f"in module '{module}'" if module else "in the model's own forward"
    return f"operator {node.target} {inside}{where}"
