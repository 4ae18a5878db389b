"""Options: every choice of a build, declared once.

A field of `BuildOptions` is a flag of `edgepack build` and `edgepack plan`, a keyword of `edgepack.build`
and, if it belongs to one of the table classes below, a key of that table in `edgepack.toml`. Flags and
keywords override `edgepack.toml`, which overrides the target, which overrides the default declared here.

To add an option, declare its field here, with its name in `BuildKeywords` for type checkers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from edgepack import toml
from edgepack.contract import Input, Output, State
from edgepack.errors import PlanError, SourceError
from edgepack.scheme import SCHEMES, SchemeName
from edgepack.toml import Strict

SETTINGS_FILE = "edgepack.toml"

PruneKind = Literal["channels", "weights", "2:4"]
"""`channels`: whole channels, the network gets smaller; `weights`: single weights become zero;
`2:4`: two of every four consecutive weights become zero."""

_PRUNING_SYNTAX = "write a share such as 0.3, auto, 2:4, or weights:0.6"
_SHARE = re.compile(r"^(?:(weights):)?(\d*\.?\d+)$")


@dataclass(frozen=True)
class Pruning:
    """What is pruned. `ratio` is between 0 and 1, both excluded; None searches for the largest one that
    meets the goal."""

    kind: PruneKind
    ratio: float | None

    def __str__(self) -> str:
        if self.kind == "2:4":
            return "2:4"
        share = "auto" if self.ratio is None else f"{self.ratio:g}"
        return share if self.kind == "channels" else f"weights:{share}"


def parse_pruning(text: str) -> Pruning | None:
    """Parse the value of `--prune`; None if it is empty. Raises ValueError if it is invalid."""
    if not text:
        return None
    if text == "auto":
        return Pruning("channels", None)
    if text == "2:4":
        return Pruning("2:4", 0.5)
    match = _SHARE.match(text)
    if not match:
        raise ValueError(f"prune = '{text}' is not understood: {_PRUNING_SYNTAX}")
    ratio = float(match[2])
    if not 0 < ratio < 1:
        raise ValueError(f"prune = {text}: a share lies between 0 and 1, both excluded")
    return Pruning("weights" if match[1] else "channels", ratio)


def _checked_scheme(value: str) -> str:
    if value not in ("auto", *SCHEMES):
        raise ValueError(f"there is no scheme '{value}': auto or one of {', '.join(SCHEMES)}")
    return value


def _checked_prune(value: str) -> str:
    parse_pruning(value)
    return value


COMPRESSION = "Compression"
SOURCE = "Model and samples"


@dataclass(frozen=True)
class Flag:
    """How an option appears on the command line and in the documentation."""

    help: str
    metavar: str = ""
    """Placeholder of the value in `--help`, such as PATH; empty for switches."""
    name: str = ""
    """The flag, if it is not the field's name with hyphens: `--target` for `targets`."""
    short: str = ""
    default: str = ""
    """The default in words, if the field's default does not say it."""
    panel: str = ""
    """The group of flags in `--help`; empty for the first, unnamed one."""
    is_path: bool = False
    """In `edgepack.toml`, the value is relative to the folder of the file."""


Own = TypeVar("Own", bound="Options")


class Options(Strict):
    """Base of all options. None, an empty string and an empty list mean that the option is not given."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value is not None and value not in ("", (), [])}

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, even if with their default."""
        return {
            name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set
        }

    def over(self: Own, below: Options) -> Own:
        """These options, completed by those that `below` gives and these do not."""
        known = {name: value for name, value in below.given.items() if name in type(self).model_fields}
        return type(self).model_validate({**known, **self.given})


class BundleOptions(Options):
    """The table `[build]` of `edgepack.toml`."""

    targets: Annotated[
        tuple[str, ...],
        Flag(
            "Device to build for: a name from `edgepack targets`, or the path of your own profile "
            "(./my.toml). Repeat for several.",
            metavar="TARGET",
            name="--target",
            short="-t",
        ),
    ] = ()
    formats: Annotated[
        tuple[str, ...],
        Flag(
            "Write only this format. Repeat for several.",
            metavar="FORMAT",
            name="--format",
            short="-f",
            default="all formats of the target",
        ),
    ] = ()
    out: Annotated[
        str, Flag("Output folder; the bundle of each target is OUT/TARGET.", metavar="DIR", is_path=True)
    ] = "dist"
    emulator: Annotated[
        bool,
        Flag(
            "Also run files for ARM devices on the emulated device. The first use downloads 105 MB, unless "
            "EDGEPACK_OFFLINE=1 is set.",
            name="--emulator/--no-emulator",
        ),
    ] = True
    bake_preprocessing: Annotated[
        bool,
        Flag(
            "Build the pre-processing and the contract's activation into the model: it takes 8-bit images of "
            "its input size (height × width × channels) and outputs scores.",
        ),
    ] = False
    bake_argmax: Annotated[
        bool,
        Flag("With --bake-preprocessing: output the index of the best class instead of scores."),
    ] = False


class ModelOptions(Options):
    """Options of the table `[model]` of `edgepack.toml`."""

    weights: Annotated[
        str,
        Flag(
            "State dict to load: a file of safetensors or torch.save, or an index of shards.",
            metavar="PATH",
            panel=SOURCE,
            is_path=True,
        ),
    ] = ""


class DataOptions(Options):
    """The table `[data]` of `edgepack.toml`."""

    calib: Annotated[
        str,
        Flag(
            "Calibration samples, needed for int8 activations: a folder of images, .npz, .npy or "
            "file.py:name.",
            metavar="PATH",
            panel=SOURCE,
            is_path=True,
        ),
    ] = ""
    eval: Annotated[
        str,
        Flag(
            "Samples to evaluate on, in the same forms.",
            metavar="PATH",
            default="a third of --calib, held out",
            panel=SOURCE,
            is_path=True,
        ),
    ] = ""


class CompressionOptions(Options):
    """The table `[compress]`, in a target or in `edgepack.toml`: what compression may do and cost."""

    max_drop: Annotated[
        float | None,
        Field(ge=0, le=100),
        Flag(
            "Maximum loss of accuracy in percentage points, in the task metric of the kind of output (top-1 "
            "accuracy, R2, mAP …). Without labels, the agreement bounds it.",
            metavar="POINTS",
            panel=COMPRESSION,
        ),
    ] = None
    min_agreement: Annotated[
        float | None,
        Field(ge=0, le=100),
        Flag(
            "Minimum agreement with the float model in percent, in the metric of the kind of output (share "
            "of samples with the same top-1 class, R2, share of equal pixels …).",
            metavar="PERCENT",
            default="the kind's limit, or the target's budget",
            panel=COMPRESSION,
        ),
    ] = None
    scheme: Annotated[
        str,
        AfterValidator(_checked_scheme),
        Flag(
            "auto tries the target's schemes, smallest first, until one meets the goal. Any other scheme is "
            "shipped, whatever it costs; `edgepack formats` lists the schemes of each format.",
            metavar="SCHEME",
            panel=COMPRESSION,
        ),
    ] = "auto"
    prune: Annotated[
        str,
        BeforeValidator(str),
        AfterValidator(_checked_prune),
        Flag(
            "0.3 removes that share of the channels, auto as many as the goal allows. 2:4 and weights:0.6 "
            "set single weights to zero, for formats that store or compute sparse weights.",
            metavar="SHARE",
            panel=COMPRESSION,
        ),
    ] = ""
    recover: Annotated[
        float,
        Field(ge=0),
        Flag(
            "Maximum minutes of knowledge distillation from the float model: once per pruned model (labels "
            "help) and per 4-bit candidate.",
            metavar="MINUTES",
            panel=COMPRESSION,
        ),
    ] = 0.0
    search_budget: Annotated[
        float | None,
        Field(gt=0),
        Flag(
            "Maximum minutes of search; then the best candidate so far is shipped.",
            metavar="MINUTES",
            default="no limit",
            panel=COMPRESSION,
        ),
    ] = None
    seed: Annotated[
        int,
        Flag("Random seed of the calibration split and of distillation.", metavar="SEED", panel=COMPRESSION),
    ] = 0

    @property
    def forced(self) -> SchemeName | None:
        """The scheme given by hand; None if it is searched for."""
        return next((name for name in SCHEMES if name == self.scheme), None)

    @property
    def pruning(self) -> Pruning | None:
        return parse_pruning(self.prune)

    def with_budget(self, min_agreement: float) -> CompressionOptions:
        """These options with a target's budget as minimum agreement, unless another was given.

        The agreement from the budget is no given option: see `given`.
        """
        if self.min_agreement is not None:
            return self
        values = {**dict(self), "min_agreement": min_agreement}
        return CompressionOptions.model_construct(_fields_set=set(self.model_fields_set), **values)


class BuildOptions(CompressionOptions, DataOptions, ModelOptions, BundleOptions):
    """Every choice of a build. What is not given comes from `edgepack.toml` or the target."""

    model: Annotated[
        str,
        Flag(
            "path/to/file.py:name or package.module:name (a module, or a callable that returns one), "
            "torchvision:NAME, timm:NAME, a folder that transformers saved, file.pt2, file.pt (TorchScript), "
            "file.keras, or a folder with an edgepack.toml.",
            metavar="MODEL",
        ),
    ]
    inputs: Annotated[
        tuple[str, ...],
        Flag(
            "Model input: tensor:1x3x224x224[:float32] or image:224[x224]. A name is a free dimension "
            "(tensor:Nx3x224x224). Prefix NAME= to name the input; repeat for several.",
            metavar="SPEC",
            name="--input",
            panel=SOURCE,
        ),
    ] = ()
    labels: Annotated[
        str, Flag("Text file of class names, one per line, in class order.", metavar="PATH", panel=SOURCE)
    ] = ""
    trust_pickle: Annotated[
        bool,
        Flag("Load pickles that contain more than tensors. Such files can run code.", panel=SOURCE),
    ] = False
    recipe: Annotated[
        str,
        Flag(
            "Follow this recipe.toml instead of searching; each bundle contains the one it was built with.",
            metavar="PATH",
            panel=COMPRESSION,
        ),
    ] = ""

    @property
    def compress(self) -> CompressionOptions:
        """The options of compression that were given."""
        return CompressionOptions().over(self)


class ModelKeywords(TypedDict, total=False):
    """The options of `BuildOptions` that say which model is loaded, with which samples."""

    targets: Sequence[str]
    weights: str
    inputs: Sequence[str]
    calib: str
    eval: str
    trust_pickle: bool


class BuildKeywords(ModelKeywords, total=False):
    """The fields of `BuildOptions` but `model`, for type checkers; tests compare the two."""

    formats: Sequence[str]
    out: str
    emulator: bool
    bake_preprocessing: bool
    bake_argmax: bool
    max_drop: float | None
    min_agreement: float | None
    scheme: str
    prune: str
    recover: float
    search_budget: float | None
    seed: int
    labels: str
    recipe: str


def parse(given: Mapping[str, Any]) -> BuildOptions:
    """The options with these names and values. Raises PlanError if one is unknown or invalid."""
    return toml.validate(dict(given), BuildOptions, "options", PlanError)


def check(goal: CompressionOptions) -> None:
    """Raise PlanError if the options contradict each other."""
    if goal.max_drop == 0 and goal.forced and not SCHEMES[goal.forced].is_float and goal.min_agreement == 100:
        raise PlanError(
            f"--scheme {goal.forced} with --max-drop 0 and --min-agreement 100 asks for int8 that is float",
            hint="omit --scheme, or allow a difference",
        )
    if goal.recover and goal.search_budget and goal.recover > goal.search_budget:
        raise PlanError(f"--recover {goal.recover:g} is longer than --search-budget {goal.search_budget:g}")
    if goal.recover and not goal.prune and goal.forced and SCHEMES[goal.forced].is_float:
        raise PlanError(
            f"--recover has nothing to recover: {goal.forced} without pruning loses nothing",
            hint="add --prune, or omit --recover",
        )


# edgepack.toml


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class ModelTable(ModelOptions):
    """The table `[model]` of `edgepack.toml`."""

    source: str = ""
    """The model that the file describes: the argument MODEL of `edgepack build`."""


class Settings(Strict):
    """The tables of `edgepack.toml`. `[input]`, `[output]` and `[state]` may be lists of tables."""

    model: ModelTable = ModelTable()
    input: Annotated[tuple[Input, ...], BeforeValidator(_as_list)] = ()
    output: Annotated[tuple[Output, ...], BeforeValidator(_as_list)] = ()
    state: Annotated[tuple[State, ...], BeforeValidator(_as_list)] = ()
    data: DataOptions = DataOptions()
    build: BundleOptions = BundleOptions()
    compress: CompressionOptions = CompressionOptions()

    def options(self, model: str, home: Path) -> BuildOptions:
        """The options that the file gives for `model`; its paths are relative to `home`."""
        found = BuildOptions(model=model)
        for table in (self.model, self.data, self.build, self.compress):
            found = found.over(table)
        paths = {
            name: beside(home, value)
            for name, value in found.given.items()
            if any(
                isinstance(flag, Flag) and flag.is_path for flag in BuildOptions.model_fields[name].metadata
            )
        }
        targets = tuple(beside(home, name) if name.endswith(".toml") else name for name in found.targets)
        return BuildOptions.model_validate({**found.given, **paths, "targets": targets})


def beside(home: Path, text: str) -> str:
    """The path `text`, which is relative to `home`, relative to the current folder."""
    return os.path.normpath(home / text)


def load_settings(path: Path) -> Settings:
    """Read the `edgepack.toml` at `path`.

    Raises PlanError if it is invalid, and SourceError if the labels that it names cannot be read.
    """
    data = toml.read(path, PlanError)
    inputs = data.get("input", [])
    for table in inputs if isinstance(inputs, list) else [inputs]:
        if isinstance(table, dict) and isinstance(table.get("tokenizer"), str) and table["tokenizer"]:
            table["tokenizer"] = beside(path.parent, table["tokenizer"])
    outputs = data.get("output", [])
    for table in outputs if isinstance(outputs, list) else [outputs]:
        if isinstance(table, dict) and isinstance(table.get("labels"), str):
            table["labels"] = read_labels(path.parent / table["labels"])
    return toml.validate(data, Settings, str(path), PlanError)


def read_labels(path: Path) -> tuple[str, ...]:
    """The class names in a text file, one a line, in class order. Raises SourceError if there are none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # with or without a byte order mark
    except (OSError, UnicodeDecodeError) as cause:
        raise SourceError(f"labels {path} cannot be read: {cause}") from cause
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise SourceError(f"labels {path} is empty: it needs one class name a line")
    return tuple(line.strip() for line in lines)
