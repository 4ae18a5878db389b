"""The reference of what edgepack ships: devices, formats, schemes, templates, errors."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

from edgepack import errors as errors_module
from edgepack import formats as format_wing
from edgepack import target, toml
from edgepack.app import template
from edgepack.formats.capability import OPERATOR_KINDS, Row
from edgepack.scheme import SCHEMES, Scheme
from edgepack_reference.markdown import code, codes, fence, sentence, table


def targets() -> str:
    """An overview, then a section for each device."""
    found = [target.load(name) for name in target.names()]
    rows = [
        [f"[{each.name}](#{each.name})", each.title, each.cpu.model, _emulated(each), code(each.template)]
        for each in found
    ]
    overview = table(["target", "device", "CPU", "emulated on", "app template"], rows)
    return "\n".join(["## Overview\n", overview, *(_target(each) for each in found)])


def _emulated(device: target.Target) -> str:
    return code(device.emulator.cpu) if device.emulator else ""


def _target(device: target.Target) -> str:
    facts = [
        ["system", f"{device.os.name} {device.os.floor} or newer"],
        ["CPU", f"{device.cpu.cores} cores: {device.cpu.model}"],
        ["instruction set", codes(device.cpu.isa)],
        ["threads", str(device.threads)],
        ["memory", f"{device.memory.total_mb} MB"],
        *([each.kind.upper(), f"{each.name}, reached by {each.reached_by}"] for each in device.accelerators),
        ["budget of a file", _budget(device.budget)],
    ]
    formats_table = table(
        ["format", "schemes, most preferred first", "options"],
        [[code(each.name), codes(each.schemes), _options(each)] for each in device.formats],
    )
    return f"## {device.name}\n\n{device.title}.\n\n{table(['', ''], facts)}\n{formats_table}"


def _options(choice: target.FormatChoice) -> str:
    return codes(f"{key} = {value!r}" for key, value in choice.options.items())


def _budget(budget: target.Budget) -> str:
    return (
        f"{budget.size_mb:g} MB in size, {budget.memory_mb:g} MB of memory, agreement of "
        f"{budget.min_agreement:g} % or more, SQNR of {budget.min_sqnr_db:g} dB or more"
    )


def formats() -> str:
    """The formats, which scheme each can carry, and which layers stay in float."""
    found = [format_wing.load(name) for name in format_wing.names()]
    overview = table(
        ["format", "about", "file", "extra"],
        [[code(each.name), sentence(each.about), code(each.suffix), code(each.extra)] for each in found],
    )
    carried = table(
        ["scheme", *(code(each.name) for each in found)],
        [[code(name), *("yes" if name in each.schemes else "" for each in found)] for name in SCHEMES],
    )
    parts = ["## Overview\n", overview, "## Schemes that a format can carry\n", carried]
    for each in found:
        if rows := _gaps(each.capabilities().rows):
            parts.append(f"## Layers that stay in float in `{each.name}`\n")
            parts.append(table(["layers", "reason", "schemes"], rows))
    return "\n".join(parts)


def _gaps(rows: Iterable[Row]) -> list[list[str]]:
    """The layers that stay in float, with the reason and the schemes that it concerns."""
    schemes_of: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for gap in _gaps_of(row):
            schemes_of.setdefault(gap, []).append(row.scheme)
    return [[layers, sentence(reason), codes(names)] for (layers, reason), names in schemes_of.items()]


def _gaps_of(row: Row) -> Iterator[tuple[str, str]]:
    """The layers that stay in float in one scheme, and the reason."""
    for reason in dict.fromkeys(row.gaps.values()):
        yield ", ".join(kind for kind in OPERATOR_KINDS if row.gaps.get(kind) == reason), reason
    if row.min_values:
        kinds = [kind for kind in OPERATOR_KINDS if kind in row.min_values_kinds]
        layers = "all" if len(kinds) == len(OPERATOR_KINDS) else ", ".join(kinds)
        yield layers, f"the weight has fewer than {row.min_values} values"
    if row.whole_file:
        yield "single layers of a file", row.whole_file


def schemes() -> str:
    """Every scheme, with its fields."""
    rows = [
        [code(each.name), sentence(each.about), _weights(each), _activations(each)]
        for each in SCHEMES.values()
    ]
    return table(["scheme", "about", "weights", "activations"], rows)


def _weights(scheme: Scheme) -> str:
    sparse = ", zeros not stored" if scheme.sparse else ""
    if scheme.weights == "float":
        return f"{scheme.weight_bits}-bit float{sparse}"
    if scheme.weights == "palette":
        return f"index of {scheme.weight_bits} bits into {2**scheme.weight_bits} values{sparse}"
    return f"{scheme.weight_bits}-bit integers, a scale for each {scheme.granularity}{sparse}"


def _activations(scheme: Scheme) -> str:
    if scheme.activations == "float":
        return "float"
    when = "calibrated on samples" if scheme.activations == "static" else "at run time"
    return f"{scheme.activation_bits}-bit integers, ranges {when}"


def errors() -> str:
    """The exit codes, and the tree of exceptions."""
    found = [
        each
        for _, each in inspect.getmembers(errors_module, inspect.isclass)
        if issubclass(each, errors_module.EdgepackError)
    ]
    found.sort(key=lambda each: (each.exit_code, len(each.__mro__)))
    rows = [
        ["0", "All checks passed.", ""],
        *([str(each.exit_code), sentence(inspect.getdoc(each) or ""), code(each.__name__)] for each in found),
        [
            str(errors_module.CHECK_FAILED),
            "A check failed. The bundle is written and the report says so.",
            "",
        ],
        [str(errors_module.INTERRUPTED), "Interrupted (Ctrl-C or SIGTERM). Nothing is left behind.", ""],
    ]
    overview = table(["exit code", "meaning", "exception"], rows)
    lines = (inspect.getdoc(errors_module) or "").splitlines()
    tree = "\n".join(line for line in lines if line.startswith(("EdgepackError", "├", "└", "│")))
    return f"## Exit codes\n\n{overview}\n## Tree\n\n{fence(tree)}"


def templates() -> str:
    """The app templates and the runtimes that they use."""
    found = [template.load(name) for name in template.names()]
    rows = [
        [code(each.name), sentence(each.about), each.language, codes(each.formats), codes(each.platforms)]
        for each in found
    ]
    return table(["template", "about", "language", "formats", "platforms"], rows)


def imports() -> str:
    """The order of the rooms, from the import-linter contract in `pyproject.toml`."""
    data = toml.read(Path(__file__).parents[3] / "pyproject.toml", errors_module.EdgepackError)
    (layers,) = (
        contract["layers"] for contract in data["tool"]["importlinter"]["contracts"] if "layers" in contract
    )
    return fence("\n".join(layers))
