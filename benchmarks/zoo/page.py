"""The page of the documentation that shows the zoo: `docs/compatibility.md`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from benchmarks.tables import Table
from benchmarks.zoo.result import FORMATS, PRECISIONS, Cell, Result

_PACKAGES = ("torch", "executorch", "onnxruntime", "coremltools", "torchvision", "timm", "transformers")
_INTRODUCTION = """# Compatibility

`python -m benchmarks zoo --page docs/compatibility.md` builds {count} architectures in every format with the
default flags, and writes this page. Weights are random, with normalization measured on samples and a
classifier fitted to synthetic classes; images are as small as the architecture takes sensibly. A float cell
passes if the written file runs and agrees with the model. An int8 cell passes if a quantized file does,
within the limits of the build. Core ML files are evaluated in torch.

A cell shows the scheme, the bytes over those of the float file, and the metrics against the float model: the
share of equal top-1 classes and the SQNR. **Fail** marks a file that was written and missed a limit. A number
leads to the reason below the tables.

With {versions}.
"""


def written(results: Sequence[Result]) -> str:
    """The page, as Markdown."""
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    reasons: dict[str, int] = {}
    parts = [_INTRODUCTION.format(count=len(results), versions=versions), _summary(results)]
    for library in dict.fromkeys(result.name.partition("/")[0] for result in results):
        rows = [result for result in results if result.name.startswith(f"{library}/")]
        parts += [f"## {library}\n", _rows(rows, reasons)]
    if reasons:
        parts += ["## Reasons\n", *(f"{number}. {reason}" for reason, number in reasons.items())]
    return "\n".join(parts) + "\n"


def summary(results: Sequence[Result]) -> Table:
    """How many cells of each kind pass, for the terminal."""
    counts = [_counted(results, precision) for precision in PRECISIONS]
    rows = tuple(
        (
            precision,
            str(sum(each.values())),
            *(str(each[outcome]) for outcome in _OUTCOMES),
            f"{_share(each):.0f} %",
        )
        for precision, each in zip(PRECISIONS, counts)
    )
    bad = tuple(f"{result.name} ended by {result.ended}" for result in results if result.ended)
    return Table("Zoo", ("cells", "all", *_OUTCOMES, "pass"), rows, notes=bad, failed=bool(bad))


_OUTCOMES = ("pass", "fail", "refused", "error")


def _summary(results: Sequence[Result]) -> str:
    return summary(results).markdown() + "\n"


def _counted(results: Sequence[Result], precision: str) -> Counter[str]:
    return Counter(cell.outcome for result in results for cell in result.cells if cell.precision == precision)


def _share(counts: Counter[str]) -> float:
    return 100 * counts["pass"] / max(1, sum(counts.values()))


def _rows(results: Sequence[Result], reasons: dict[str, int]) -> str:
    columns = ("architecture", "parameters", *(f"{name} {each}" for name in FORMATS for each in PRECISIONS))
    rows = tuple(
        (result.name.partition("/")[2], _millions(result.parameters), *_cells(result, reasons))
        for result in results
    )
    return Table("", columns, rows, words=1).markdown().split("\n\n", 1)[1]


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.1f} M" if parameters else ""


def _cells(result: Result, reasons: dict[str, int]) -> Iterator[str]:
    for name in FORMATS:
        for precision in PRECISIONS:
            cell = next(each for each in result.cells if (each.format, each.precision) == (name, precision))
            yield _cell(cell, reasons)


def _cell(cell: Cell, reasons: dict[str, int]) -> str:
    number = f" [{reasons.setdefault(_plain(cell.why), len(reasons) + 1)}]" if cell.why else ""
    if not cell.scheme:
        return f"{cell.outcome}{number}"
    size = f" {cell.size_ratio:.2f}×" if cell.precision == "int8" and cell.size_ratio is not None else ""
    figures = f"{cell.scheme}{size} {cell.metrics}".strip()
    return f"**fail** {figures}{number}" if cell.outcome == "fail" else figures


def _plain(reason: str) -> str:
    """A reason that does not break a table or a list."""
    return " ".join(reason.split()).replace("|", "\\|")
