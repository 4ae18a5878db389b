"""Shared fixtures: small models, a real bundle, and the command, in this process or another."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule

    from edgepack.model.source import Source

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# after the lines above: torch reads the number of its threads when it is imported
from sources import clamped, fashion, reader, woven, writer  # noqa: F401  # fixtures

USERS_CACHE = os.environ.get("EDGEPACK_CACHE", "")
"""Where large downloads are kept between runs; empty for the user's own folder."""
# an emulator that is set up there, or by first use, would make every build of these tests run on emulated
# devices, too
os.environ["EDGEPACK_CACHE"] = tempfile.mkdtemp(prefix="edgepack-tests-")
os.environ["EDGEPACK_OFFLINE"] = "1"
atexit.register(shutil.rmtree, os.environ["EDGEPACK_CACHE"], ignore_errors=True)


@pytest.fixture(scope="module")
def users_cache() -> Iterator[None]:
    """The user's own cache in the place of these tests', filled if need be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EDGEPACK_OFFLINE")
        if USERS_CACHE:
            patch.setenv("EDGEPACK_CACHE", USERS_CACHE)
        else:
            patch.delenv("EDGEPACK_CACHE")
        yield


ROOT = Path(__file__).resolve().parent.parent
FASHION = ROOT / "examples" / "fashion_mnist"
ALL_FORMATS = ROOT / "tests" / "data" / "all-formats.toml"

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.second = nn.Linear(16, 4)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def net():
    torch.manual_seed(0)
    return Net()
"""

SETTINGS = """
[model]
source = "net.py:net"
[input]
kind = "tensor"
shape = [1, 8]
[output]
kind = "classification"
labels = ["north", "east", "south", "west"]
activation = "softmax"
[data]
calib = "calib.npz"
eval = "eval.npz"
[build]
targets = ["raspberry-pi-5"]
formats = ["onnx"]
"""

RUN = "from edgepack.cli import main; main()"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def sentence(self) -> str:
        """The one error of a command that failed as it should, with its hint."""
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
        assert len(errors) == 1, self.err
        assert self.out == ""
        return "\n".join(lines[errors[0] :])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty but for net.py: a net from [1, 8] to four scores."""
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


Command = Callable[..., Ended]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run `edgepack ARGS` in this process, as its entry point does but for the signals."""

    def run(*args: object) -> Ended:
        from edgepack.cli import app

        capfd.readouterr()
        with (
            open(1, "w", closefd=False) as out,
            open(2, "w", closefd=False) as err,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            app([str(arg) for arg in args])
        shown = capfd.readouterr()
        return Ended(int(ended.value.code or 0), shown.out, shown.err)

    return run


@pytest.fixture
def process() -> Command:
    """Run `edgepack ARGS` in a process of its own; `code` is what Python runs instead of it."""

    def run(*args: object, code: str = RUN, env: dict[str, str] | None = None) -> Ended:
        line = [sys.executable, *(["-S"] if env else []), "-c", code, *(str(arg) for arg in args)]
        ended = subprocess.run(line, capture_output=True, text=True, env={**os.environ, **(env or {})})
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture
def without(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """The environment of a Python in which some packages are truly not installed.

    Its one path is a folder of links to all that is installed here, but for the packages named.
    """

    def environment(*names: str, also: Path = ROOT / "sdk") -> dict[str, str]:
        folder = tmp_path_factory.mktemp("installed")
        for entry in sys.path:
            if Path(entry).name in ("site-packages", "dist-packages"):
                for each in Path(entry).iterdir():
                    link = folder / each.name
                    if each.name.partition("-")[0] not in names and not link.exists():
                        link.symlink_to(each)
        return {"PYTHONPATH": os.pathsep.join([str(also), str(folder)])}

    return environment


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB of its own; skipped where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if not shutil.which("mount"):
        pytest.skip("there is no mount here, so no small disk to fill")
    mounted = subprocess.run(line, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.partition(chr(10))[0]}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def graph_of(net: torch.nn.Module, *inputs: torch.Tensor) -> GraphModule:
    """A module as torch.export captures it, nothing folded yet."""
    import torch

    from edgepack.silence import quiet

    with quiet():
        found: GraphModule = torch.export.export(net.eval(), inputs, strict=False).module()
    return found


def source_of(net: torch.nn.Module, calib: list[torch.Tensor], *, classes: bool = False) -> Source:
    """A module with one input as a source, evaluated on its calibration samples."""
    import torch

    from edgepack.contract import Contract, Output, TensorInput
    from edgepack.contract.samples import Samples
    from edgepack.model.capture import captured
    from edgepack.model.source import Source

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = net

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (self.model(x),)

    flat = Flat().eval()
    exported = captured(flat, (calib[0],))
    with torch.no_grad():
        reference = tuple((flat(each)[0].numpy(),) for each in calib)
    output = Output(kind="classification") if classes else Output()
    shape = tuple(calib[0].shape)
    contract = Contract(inputs=(TensorInput(kind="tensor", shape=shape),), outputs=(output,))
    rows = Samples(tuple((each.numpy(),) for each in calib), None, "drawn")
    return Source("net", exported, exported, contract, rows, rows, reference, module=flat)


def write_samples(folder: Path) -> None:
    """`calib.npz` and `eval.npz` for net.py, 64 samples each, the latter with the net's own answers."""
    draw = np.random.default_rng(0)
    np.savez(folder / "calib.npz", inputs=draw.standard_normal((64, 8)).astype(np.float32))
    rows = draw.standard_normal((64, 8)).astype(np.float32)
    np.savez(folder / "eval.npz", inputs=rows, labels=np.arange(64) % 4)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle as `edgepack build` makes it: ONNX in int8 for a Raspberry Pi 5. Do not write.

    The scheme is given by hand: of so small a net int8 is no smaller than float.
    """
    import edgepack

    home = tmp_path_factory.mktemp("built")
    (home / "net.py").write_text(NET)
    (home / "edgepack.toml").write_text(SETTINGS)
    write_samples(home)
    reports = edgepack.build(str(home), scheme="w8a8", out=str(home / "out"))
    assert [report.passed for report in reports] == [True]
    return home / "out" / "raspberry-pi-5"


@pytest.fixture(scope="session")
def fashion_bundle(small_fashion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of Fashion-MNIST in int8 for a Raspberry Pi 5, as ONNX and ExecuTorch. Do not write."""
    import edgepack

    out = tmp_path_factory.mktemp("fashion_bundle")
    edgepack.build(str(small_fashion), targets=["raspberry-pi-5"], scheme="w8a8", out=str(out))
    return out / "raspberry-pi-5"


@pytest.fixture(scope="session")
def small_fashion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained example of Fashion-MNIST with fewer samples: 64 for calibration, 100 for evaluation."""
    folder = tmp_path_factory.mktemp("fashion")
    for name in ("model.py", "weights.safetensors", "labels.txt", "edgepack.toml"):
        shutil.copyfile(FASHION / name, folder / name)
    (folder / "data").mkdir()
    for name, count in (("calib", 64), ("eval", 100)):
        with np.load(FASHION / "data" / f"{name}.npz") as given:
            np.savez(folder / "data" / f"{name}.npz", **{key: given[key][:count] for key in given})
    return folder


@pytest.fixture(scope="session")
def small_source(small_fashion: Path) -> Source:
    """The network of `small_fashion`, captured. Do not change its modules."""
    from edgepack import plan
    from edgepack.model import source
    from edgepack.options import BuildOptions

    choices = BuildOptions(
        model=str(small_fashion), targets=("raspberry-pi-5",), out=str(small_fashion / "out")
    )
    return source.load(plan.resolve(choices))


@pytest.fixture(scope="session")
def hard_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures without labels whose two best scores nearly tie, so that int8 answers some otherwise.

    The 64 closest of 500 pairs of pictures laid over each other.
    """
    from edgepack import plan
    from edgepack.model import source
    from edgepack.options import BuildOptions

    folder = tmp_path_factory.mktemp("hard")
    with np.load(FASHION / "data" / "eval.npz") as given:
        pairs = given["inputs"].astype(np.uint16)
    mixed = ((pairs[:500] + pairs[500:]) // 2).astype(np.uint8)
    np.savez(folder / "mixed.npz", inputs=mixed)
    choices = BuildOptions(model=str(FASHION), targets=("raspberry-pi-5",), eval=str(folder / "mixed.npz"))
    loaded = source.load(plan.resolve(choices))
    best = np.sort(np.concatenate([outputs[0] for outputs in loaded.reference]))[:, -2:]
    closest = np.argsort(best[:, 1] - best[:, 0])[:64]
    np.savez(folder / "hard.npz", inputs=mixed[closest])
    return folder / "hard.npz"


@pytest.fixture
def bundle_copy(built: Path, tmp_path: Path) -> Path:
    """A copy of `built` that a test may damage."""
    return Path(shutil.copytree(built, tmp_path / "copy"))
