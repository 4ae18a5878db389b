"""The screen: what a command shows, and what it keeps from the terminal.

While a command works, whatever toolchains print goes to a file; only the screen's own streams,
duplicated before, reach the user. An error shows that file with `--debug`.
"""

from __future__ import annotations

import json as json_module
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from edgepack.errors import INTERRUPTED, EdgepackError
from edgepack.report import sentence
from edgepack.scheme import SCHEMES
from edgepack.silence import captured

if TYPE_CHECKING:
    from edgepack.app.monitoring import Drift, Monitored
    from edgepack.app.render import Rendered
    from edgepack.app.template import Template
    from edgepack.compress.sensitivity import LayerSensitivity
    from edgepack.contract import Contract
    from edgepack.delegation import Delegation
    from edgepack.doctor import Host
    from edgepack.emulator.arm import Entry
    from edgepack.emulator.arm.android_libraries import Libraries
    from edgepack.formats import Description
    from edgepack.plan import Plan
    from edgepack.report import Artifact, Check, Pruned, Report, Verdict
    from edgepack.target import Target

_WIDTH = 150
"""Columns where the output is no terminal."""
_LAYERS = 20
_FEW_STEPS = 3
_EQUALIZED = {"exact": "channels equalized", "clamped": "channels equalized, also under clamps"}
_STYLES = {"pass": "green", "fail": "bold red", "evaluated": "green", "skipped": "yellow"}


class Steps:
    """Progress: a live bar on a terminal, a line a step elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._number = 0
        self._total = 0
        self._begun = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def begin(self, steps: int) -> None:
        """About `steps` steps will follow."""
        self._total = steps
        self._begun = time.monotonic()
        if self._console.is_terminal:
            columns = (SpinnerColumn(), BarColumn(20), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
            text = TextColumn("{task.description}")
            self._bar = Progress(*columns, TimeElapsedColumn(), text, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=steps)
            self._bar.start()

    def step(self, doing: str) -> None:
        """A step begins."""
        self._number += 1
        self._total = max(self._total, self._number)
        doing += self._left()
        if self._bar and self._task is not None:
            done = self._number - 1
            self._bar.update(self._task, completed=done, total=self._total, description=escape(doing))
        else:
            self._console.print(f"[{self._number}/{self._total}] {doing}", markup=False, soft_wrap=True)

    def _left(self) -> str:
        """How long is left, by how long the steps so far took; nothing while that says little."""
        done = self._number - 1
        if done < _FEW_STEPS:
            return ""
        seconds = (time.monotonic() - self._begun) / done * (self._total - done)
        return f"  (about {seconds:.0f} s left)" if seconds < 90 else f"  (about {seconds / 60:.0f} min left)"

    def end(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()
            self._bar = None


class Screen:
    """Open while a command works; turns errors into sentences and exit codes at its end."""

    def __init__(self, *, debug: bool) -> None:
        self._debug = debug
        self._stack = ExitStack()

    def __enter__(self) -> Screen:
        self._out = self._console(1, stderr=False)
        self._err = self._console(2, stderr=True)
        self.progress = Steps(self._err)
        self._noise = self._stack.enter_context(tempfile.TemporaryFile())
        self._stack.enter_context(captured(self._noise))
        return self

    def _console(self, number: int, *, stderr: bool) -> Console:
        stream = self._stack.enter_context(
            os.fdopen(os.dup(number), "w", encoding="utf-8", errors="backslashreplace")
        )
        width = None if stream.isatty() else _WIDTH
        return Console(file=stream, width=width, stderr=stderr, highlight=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.end()
        try:
            if isinstance(error, KeyboardInterrupt):
                self._err.print("interrupted; nothing half-written is left")
                raise typer.Exit(INTERRUPTED)
            if isinstance(error, EdgepackError):
                self._show(error)
                raise typer.Exit(error.exit_code) from error
            if error is not None and not isinstance(error, typer.Exit):
                self._replay()
        finally:
            self._stack.close()

    def _show(self, error: EdgepackError) -> None:
        self._err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        if error.hint:
            self._err.print(f"[bold]hint:[/] {escape(error.hint)}", soft_wrap=True)
        if self._debug:
            self._replay()
            self._err.print("".join(traceback.format_exception(error)), markup=False)

    def _replay(self) -> None:
        """Show what toolchains printed."""
        sys.stdout.flush()
        self._noise.seek(0)
        self._err.print(self._noise.read().decode(errors="replace"), markup=False)

    def done(self) -> None:
        """The work is over: the bar goes."""
        self.progress.end()

    def exit(self, code: int) -> None:
        """End the command with this exit code."""
        if code:
            raise typer.Exit(code)

    def write(self, text: str) -> None:
        """`text` as it is, on stdout."""
        self._out.file.write(text.rstrip("\n") + "\n")
        self._out.file.flush()

    def dump(self, value: Any) -> None:
        """A value as one JSON document on stdout."""
        plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        self.write(json_module.dumps(plain, indent=2, default=_dumped))

    def _line(self, text: str = "") -> None:
        self._out.print(text, soft_wrap=True)

    def report(self, report: Report) -> None:
        """The table of one target, and below it what the user has to know."""
        self._out.print(_report_table(report))
        if len(report.tried) > len(report.artifacts):
            self._out.print(_tried_table(report))
        if report.pruned:
            self._line(f"  [bold]pruned[/] {escape(_pruning(report.pruned))}")
        for recipe in dict.fromkeys(_recipe(each) for each in report.artifacts):
            if recipe:
                self._line(f"  [bold]recipe[/] {escape(recipe)}")
        for device in dict.fromkeys(line for each in report.artifacts for line in _devices(each)):
            self._line(f"  [bold]device[/] {escape(device)}")
        for artifact in report.artifacts:
            if artifact.delegation:
                self._delegation(_title(artifact), artifact.delegation)
        for artifact in report.artifacts:
            for check in artifact.checks:
                if check.verdict == "fail":
                    self._line(f"  [bold red]failed[/] {_title(artifact)}: {escape(sentence(check))}")
        kept = {
            (each.format, each.scheme, frozenset(each.kept_float)): each.kept_float
            for each in reversed(report.artifacts)
            if each.kept_float
        }
        for (name, scheme, _), layers in sorted(kept.items(), key=lambda each: (*each[0][:2], each[1])):
            shown = ", ".join(layers[:6]) + (f" and {len(layers) - 6} more" if len(layers) > 6 else "")
            self._line(f"  [bold]in float[/] {name} {scheme}: {escape(shown)}")
        for each in report.skipped:
            self._line(f"  [yellow]skipped[/] {escape(each.what)}: {escape(each.why)}")
        for text in _checks_of(report, "evaluated"):
            self._line(f"  [bold]evaluated[/] {escape(text)}")
        for text in _checks_of(report, "skipped"):
            self._line(f"  [yellow]not checked[/] {escape(text)}")
        for text in dict.fromkeys(_notes(report)):
            self._line(f"  [dim]note[/] {escape(text)}")
        unchecked = any(each.verdict in ("evaluated", "skipped") for each in report.artifacts)
        passed = "all checks that this host can make passed" if unchecked else "all checks passed"
        verdict = f"[green]{passed}[/]" if report.passed else "[bold red]a check failed[/]"
        app = f", app/ uses {report.app}" if report.app else ""
        self._line(f"  {verdict}; bundle: [bold]{escape(report.folder)}[/]{escape(app)}\n")

    def _delegation(self, title: str, found: Delegation) -> None:
        """What delegates were given, and what they were not."""
        self._line(f"  [bold]delegated[/] {escape(f'{title}: {found}')}")
        if found.outside:
            self._line(f"  [bold]outside[/] {escape(f'{title}: {found.left}')}")

    def plan(self, plan: Plan) -> None:
        """What a build would do."""
        rows = [
            ("model", plan.model), ("weights", plan.weights or "the model's own"),
            ("settings", plan.settings_file or "none"), ("contract from", plan.contract_from),
            ("calibrated on", plan.calib or "nothing"), ("judged on", plan.eval_from),
            ("ARM emulator", _emulation(plan)),
            ("pre-processing", "in the graph" if plan.bake else "in the app"),
            *([("answer", "the best class's number, by arg-max in the graph")] if plan.argmax else []),
        ]  # fmt: skip
        for key, value in rows:
            self._line(f"[bold]{key:>14}[/]  {escape(value)}")
        for wanted in plan.targets:
            title = escape(f"{wanted.target.title} → {wanted.folder}")
            table = Table(title=title, title_justify="left")
            for column in ("format", "scheme", "why"):
                table.add_column(column)
            for step in wanted.steps:
                table.add_row(step.format, step.scheme, step.why)
            self._out.print(table)
            for each in wanted.omitted:
                self._line(f"  [yellow]skipped[/] {escape(each.what)}: {escape(each.why)}")

    def sensitivity(self, damages: Sequence[LayerSensitivity], plot: Path) -> None:
        """The layers, the one that costs most first."""
        table = Table("layer", title="each layer alone in int8, by simulation", title_justify="left")
        for column in ("SQNR dB", "agree %", "bytes saved", "of bytes %", "multiply-adds", "of work %"):
            table.add_column(column, justify="right")
        for each in damages:
            table.add_row(
                escape(each.path),
                _number(each.sqnr_db, ".1f"),
                _number(each.agreement, ".1f"),
                f"{each.bytes_saved:,}",
                f"{100 * each.share_of_bytes:.1f}",
                f"{each.multiply_adds:,}",
                f"{100 * each.share_of_work:.1f}",
            )
        self._out.print(table)
        self._line(f"  plot: [bold]{escape(str(plot))}[/]")

    def _contract(self, contract: Contract) -> None:
        """What an app must feed a file and may read from it, a line each."""
        lines: list[tuple[str, BaseModel]] = [("feed", each) for each in contract.inputs]
        lines += [("read", each) for each in contract.outputs]
        lines += [("keep", each) for each in contract.state]
        for verb, each in lines:
            told = each.model_dump(mode="json", exclude_defaults=True)
            labels = told.pop("labels", ())
            told.pop("name", "")
            name = f"{told.pop('kind', '')} {getattr(each, 'name', '')}".strip()
            facts = [name, *(f"{key} {_plain(value)}" for key, value in told.items())]
            facts += [f"{len(labels)} labels"] if labels else []
            self._line(f"  [dim]{verb}[/]  {escape(', '.join(each for each in facts if each))}")

    def description(self, path: Path, found: Description) -> None:
        """What a model file holds."""
        share = "" if found.quantized is None else f", {found.quantized:.0%} of weighted operators quantized"
        delegated = "" if found.delegated is None else f", {found.delegated:.0%} of operators delegated"
        self._line(f"[bold]{escape(path.name)}[/]  {found.format}{share}{delegated}")
        for kind, tensors in (("input", found.inputs), ("output", found.outputs)):
            for each in tensors:
                shape = "x".join(str(size) for size in each.shape)
                self._line(f"  {kind:<7} {escape(each.name)}  {each.dtype}  {shape}")
        if found.contract:
            self._contract(found.contract)
        counts = sorted(found.operators.items(), key=lambda pair: (-pair[1], pair[0]))
        self._line("  operators  " + escape(", ".join(f"{name} ×{count}" for name, count in counts)))
        for key, value in found.metadata:
            self._line(f"  [dim]{escape(key)}[/]  {escape(value if len(value) < 120 else value[:117] + '…')}")
        table = Table("layer", "operator", "precision", "bytes")
        table.columns[-1].justify = "right"
        for layer in found.layers[:_LAYERS]:
            table.add_row(escape(layer.name), escape(layer.operator), layer.precision, f"{layer.bytes:,}")
        self._out.print(table)
        if found.outside:
            kernels = ", ".join(f"{name} ×{count}" for name, count in found.outside.items())
            self._line(f"  not delegated  {escape(kernels)}")
        if found.delegation:
            self._delegation("by the bundle's report", found.delegation)
        rest = found.layers[_LAYERS:]
        if rest:
            self._line(
                f"  and {len(rest)} more layers of {sum(each.bytes for each in rest):,} bytes (--json)"
            )
        if found.kept_float and found.quantized:
            self._line(f"  in float: {escape(', '.join(found.kept_float))}")

    def targets(self, found: list[Target]) -> None:
        """The devices, a row each."""
        table = Table("target", "device", "CPU", "memory", "system", "formats", "app")
        for each in found:
            formats = " ".join(choice.name for choice in each.formats)
            system = f"{each.os.name} {each.os.floor}+"
            memory = f"{each.memory.total_mb / 1024:.3g} GB"
            table.add_row(
                each.name, each.title, each.cpu.model, memory, system, formats, each.template or "-"
            )
        self._out.print(table)

    def target(self, each: Target) -> None:
        """One device."""
        self._line(f"[bold]{each.name}[/]  {escape(each.title)} ({each.platform})")
        self._line(f"  CPU      {each.cpu.cores} cores, {escape(each.cpu.model)}; {' '.join(each.cpu.isa)}")
        for one in each.accelerators:
            self._line(f"  {one.kind:<8} {escape(one.name)}, reached by {escape(one.reached_by)}")
        self._line(f"  memory   {each.memory.total_mb} MiB; {each.threads} threads for inference")
        self._line(f"  system   {escape(each.os.name)} {each.os.floor} or newer")
        for choice in each.formats:
            given = {key: value for key, value in choice.options.items() if value is not None}
            options = "".join(f"; {key} = {value}" for key, value in given.items())
            self._line(f"  format   {choice.name}: {', '.join(choice.schemes)}{escape(options)}")
        core = f"QEMU's {each.emulator.cpu}" if each.emulator else "nothing: no [emulator] cpu in its profile"
        self._line(f"  emulated by {escape(core)}")
        budget = each.budget
        self._line(
            f"  budget   file ≤ {budget.size_mb:g} MB, memory ≤ {budget.memory_mb:g} MB, "
            f"agreement ≥ {budget.min_agreement:g} %, SQNR ≥ {budget.min_sqnr_db:g} dB"
        )
        self._line(f"  app      {each.template or 'none: the target names no template'}")

    def formats(self, facts: list[dict[str, Any]]) -> None:
        """The formats, with what they can do here."""
        table = Table("format", "what it is", "file", "schemes", "write here", "run here")
        for each in facts:
            write, run = each["cannot_export"] or "yes", each["evaluator"] or each["cannot_run"] or "yes"
            about, schemes = str(each["about"]), " ".join(each["schemes"])
            table.add_row(each["name"], escape(about), each["suffix"], schemes, escape(write), escape(run))
        self._out.print(table)

    def app(self, done: Rendered, goal: Path) -> None:
        """What was rendered, and where."""
        for change in done.changes:
            self._line(f"  {change.what:8} {escape(change.place)}")
        self._line(f"{escape(done.template)} for {escape(done.file)}: [bold]{escape(str(goal))}[/]")
        if not done.proven:
            self._line("  its own runtime did not run this file here: see the report")
        self._line(f"  self-test, there: {escape(done.selftest)}")

    def monitored(self, found: Monitored, drifts: Sequence[Drift], plot: Path | None) -> None:
        """What an app has recorded, and how far it is from what was expected."""
        title = f"{found.model} ({found.file}) on {found.device or 'a device'}, {found.runtime}"
        self._line(f"[bold]{escape(title)}[/]")
        self._line(f"  {found.count} inferences, {found.failures} failed; loaded in {found.load_ms:.1f} ms")
        table = Table("ms")
        for column in ("mean", "p50", "p90", "p99", "max"):
            table.add_column(column, justify="right")
        for name, times in (("inference", found.latency_ms), ("pre-processing", found.preprocess_ms)):
            if times:
                figures = (times.mean, times.p50, times.p90, times.p99, times.max)
                table.add_row(name, *(f"{each:.2f}" for each in figures))
        if table.rows:
            self._out.print(table)
        if found.memory_mb is not None:
            self._line(f"  memory  {found.memory_mb:.1f} MB at most")
        if found.thermal:
            warm = "" if found.thermal.celsius is None else f", {found.thermal.celsius:.1f} °C"
            self._line(f"  heat  {escape(found.thermal.state)}{warm}")
        for each in drifts:
            told = f"{each.index:.3f}, by chance below {each.chance:.3f}: {each.verdict}"
            self._line(f"  drift of {each.what}  {told}")
        if not drifts:
            self._line("  drift  not told: give --bundle, or nothing was counted")
        if plot:
            self._line(f"  plot: [bold]{escape(str(plot))}[/]")

    def templates(self, found: list[Template]) -> None:
        """The app templates."""
        table = Table("template", "what it is", "language", "platforms", "runtimes", "self-test")
        for each in found:
            platforms, formats = " ".join(each.platforms), " ".join(each.formats)
            table.add_row(each.name, escape(each.about), each.language, platforms, formats, each.selftest)
        self._out.print(table)

    def tell(self, sentence: str) -> None:
        """One line on what happens."""
        self._line(f"  {escape(sentence)}")

    def emulator(self, found: Entry | None) -> None:
        """The emulator that is set up."""
        if found is None:
            self._line("the ARM emulator is not set up: run `edgepack emulator setup`")
            return
        made = found.made
        self._line(f"{escape(str(found.folder))}, {made.bytes / 1e6:.0f} MB, made in {made.seconds:.0f} s")
        self._line(f"  {escape(made.qemu)}")
        for name, version in made.versions.items():
            self._line(f"  {name} {version} for aarch64; its runner is built by {escape(made.compiler)}")
        counted = f"are not counted: {made.no_counts}" if made.no_counts else "are counted"
        self._line(f"  instructions {escape(counted)}")
        for note in made.notes:
            self._line(f"  note {escape(note)}")

    def android(self, found: Libraries) -> None:
        """Android's libraries that are set up."""
        made = found.made
        self._line(f"{escape(str(found.folder))}, {made.bytes / 1e6:.0f} MB, made in {made.seconds:.0f} s")
        for each in made.runtimes:
            self._line(f"  {escape(each)}")
        self._line(f"  the shim below them is built by {escape(made.compiler)}")

    def host(self, found: Host) -> None:
        """What the doctor found."""
        self._line(f"Python {found.python} on {found.system}")
        table = Table("package", "installed", "known to work", "remedy")
        for each in found.packages:
            style = "green" if each.fits else "red" if each.installed else "yellow"
            installed = each.installed or "not installed"
            table.add_row(each.name, f"[{style}]{installed}[/]", each.known, escape(each.remedy))
        self._out.print(table)
        table = Table("format", "write here", "run here")
        for one in found.abilities:
            run = one.evaluator or one.cannot_run or "yes"
            table.add_row(one.format, escape(one.cannot_export or "yes"), escape(run))
        self._out.print(table)


def _emulation(plan: Plan) -> str:
    """What the emulator is for in a build, in words."""
    devices = [each.target.name for each in plan.targets if each.target.emulator]
    if not plan.emulator or not devices:
        return "turned off" if devices else "for none of the targets"
    return f"runs files for {', '.join(devices)}; set up if it is not (105 MB)"


def _dumped(value: object) -> object:
    """A model of pydantic as plain values. Raises TypeError at anything else."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not plain")


def _plain(value: object) -> str:
    """A value of a contract, for people."""
    return " × ".join(str(each) for each in value) if isinstance(value, list) else str(value)


def _report_table(report: Report) -> Table:
    title = f"{report.target}: {report.model}, judged on {report.evaluated_on}"
    table = Table(title=escape(title), title_justify="left")
    table.add_column("format")
    table.add_column("scheme")
    for column in ("MB", "MB gz", "× float", "agree %", "accuracy %", "SQNR dB", "time × float", "memory MB"):
        table.add_column(column, justify="right")
    emulated = any(each.figures.cost for each in report.artifacts)
    if emulated:
        counted = "instructions: of an inference on the emulated device"
        table.caption = f"{counted}; they tell whether int8 pays, and are no measure of time"
        table.add_column("M instr (× float)", justify="right")
    table.add_column("verdict")
    for each in report.artifacts:
        style = _STYLES[each.verdict]
        table.add_row(*_cells(each), *([_cost(each)] if emulated else []), f"[{style}]{each.verdict}[/]")
    return table


def _tried_table(report: Report) -> Table:
    table = Table(title="tried", title_justify="left")
    for column in ("format", "scheme"):
        table.add_column(column)
    for column in ("layers in float", "MB", "agree %", "accuracy %", "SQNR dB", "time × float"):
        table.add_column(column, justify="right")
    table.add_column("outcome")
    for each in report.tried:
        cells, kept = _cells(each.artifact), len(each.artifact.kept_float)
        shown = [*cells[:2], str(kept or "-"), cells[2], *cells[5:9], escape(each.outcome)]
        table.add_row(*shown)
    return table


def _recipe(artifact: Artifact) -> str:
    """What was done to the model for a file, in words; empty for one that is plain."""
    recipe = artifact.recipe
    words = []
    if SCHEMES[recipe.scheme].has_static_activations:
        words.append(f"activation ranges by {recipe.ranges}")
    if recipe.equalize != "none":
        words.append(_EQUALIZED[recipe.equalize])
    if recipe.gptq:
        words.append("GPTQ")
    if recipe.correct_bias:
        words.append("biases corrected")
    if recipe.layers:
        words.append(", ".join(f"{path} in {scheme}" for path, scheme in recipe.layers.items()))
    return f"{artifact.format} {recipe.scheme}: {'; '.join(words)}" if words else ""


def _pruning(pruned: Pruned) -> str:
    """What pruning and recovery did, in words."""
    before, after = pruned.before, pruned.after
    words = [
        f"{pruned.what}: {before.parameters:,} → {after.parameters:,} parameters",
        f"{before.multiply_adds:,} → {after.multiply_adds:,} multiply-adds",
    ]
    if after.nonzero < after.parameters:
        words.append(f"{after.nonzero:,} of them not zero")
    if pruned.agreement is not None:
        words.append(f"agreement in float {pruned.agreement_unrecovered:.1f} %")
    if pruned.recovery_steps:
        words.append(f"after {pruned.recovery_steps} steps of recovery {pruned.agreement:.1f} %")
    return ", ".join(words)


def _cells(artifact: Artifact) -> list[str]:
    found = artifact.figures
    accuracy = "-"
    if found.accuracy is not None and found.accuracy_float is not None:
        accuracy = f"{found.accuracy_float:.1f} → {found.accuracy:.1f}"
    return [
        f"{artifact.format} {Path(artifact.file).suffix}",
        artifact.scheme,
        f"{artifact.bytes / 1e6:.3f}",
        f"{artifact.bytes_gzip / 1e6:.3f}",
        f"{artifact.size_ratio:.2f}",
        _number(found.agreement, ".1f"),
        accuracy,
        "exact" if found.exact else _number(found.sqnr_db, ".1f"),
        _number(found.latency_ratio, ".2f"),
        _number(found.memory_mb, ".1f"),
    ]


def _cost(artifact: Artifact) -> str:
    found = artifact.figures
    millions = f"{found.cost.instructions / 1e6:.2f}" if found.cost else "-"
    return f"{millions} ({found.instructions_ratio:.2f})" if found.instructions_ratio else millions


def _devices(artifact: Artifact) -> list[str]:
    """What ran a file as the device does, and how its answers compare."""
    checks = {check.name: check for check in artifact.checks if check.verdict == "pass"}
    pairs = [("device runs", "device agrees", "to this host's answers")]
    pairs += [("android libs run", "android libs agree", "")]
    return [
        f"{_title(artifact)}: {checks[runs].reason}; {_agreement(checks[agrees], whose)}"
        for runs, agrees, whose in pairs
        if {runs, agrees} <= checks.keys()
    ]


def _agreement(check: Check, whose: str) -> str:
    figure = " ".join(filter(None, (f"{check.figure:.6g} {check.unit}", whose)))
    return f"{figure}, {check.reason}" if check.reason else figure


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _title(artifact: Artifact) -> str:
    return f"{artifact.format} {Path(artifact.file).suffix} {artifact.scheme}"


def _checks_of(report: Report, verdict: Verdict) -> list[str]:
    """The checks with this verdict, each reason once, with the files that it is true of."""
    found: dict[str, list[str]] = {}
    for each in report.artifacts:
        for check in each.checks:
            if check.verdict == verdict:
                found.setdefault(f"{check.name}: {check.reason}", []).append(_title(each))
    return [f"{', '.join(titles)}: {reason}" for reason, titles in found.items()]


def _notes(report: Report) -> list[str]:
    own = [f"{each.format}: {note}" for each in report.artifacts for note in each.notes]
    return [*report.notes, *own]
