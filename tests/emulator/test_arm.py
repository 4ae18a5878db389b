"""Model files run by the device's own builds of the runtimes, on its emulated core."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
import torch
from conftest import source_of
from onnx import TensorProto, helper

from edgepack import formats, target
from edgepack.arrays import Sample
from edgepack.contract import Contract, Output, TensorInput
from edgepack.contract.outputs import judge
from edgepack.emulator import arm
from edgepack.emulator.arm import build, cost, fetch, machine, pins, tensors
from edgepack.emulator.job import Death, Job, write_samples
from edgepack.evaluate import device_checks, localize_mismatch
from edgepack.evaluate.device import Device
from edgepack.evaluate.model_file import Evaluation, ModelFile, Reference
from edgepack.model.source import Source
from edgepack.progress import Steps
from edgepack.recipe import Recipe
from edgepack.report import Cost
from edgepack.scheme import SchemeName

FILES: list[tuple[str, SchemeName, str]] = [
    ("onnx", "fp32", ".onnx"),
    ("onnx", "w8a8", ".onnx"),
    ("onnx", "w8a8", ".ort"),
    ("executorch", "fp32", ".pte"),
    ("executorch", "w8a8", ".pte"),
]
BOTH = (("onnx", ".onnx"), ("executorch", ".pte"))
PI_5 = target.load("raspberry-pi-5")
PI_3 = target.load("raspberry-pi-3")


@pytest.fixture(scope="module")
def emulator(users_cache: None) -> arm.Entry:
    """The emulator, set up in the user's own cache; skipped where it cannot be had."""
    if problem := arm.unsuited(PI_5, "onnx"):
        pytest.skip(problem)
    return arm.setup(print)


@pytest.fixture(scope="module")
def written(small_source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fashion-MNIST's files in both formats, float and int8, with the samples."""
    folder = tmp_path_factory.mktemp("written")
    for name, scheme in {(name, scheme) for name, scheme, _ in FILES}:
        module = formats.load(name)
        module.export(small_source, Recipe(scheme), PI_5, folder / f"{scheme}{module.suffix}")
    write_samples(small_source.evaluation.inputs[:8], folder / "samples.npz")
    return folder


def _ran(job: Job, device: target.Target, scratch: Path, samples: int = 8) -> arm.Run:
    found = arm.run(job, device, scratch, 300, samples=samples)
    assert isinstance(found, arm.Run), found
    return found


@pytest.mark.parametrize(("name", "scheme", "ending"), FILES)
def test_a_file_answers_on_the_device_as_on_the_host_and_its_cost_repeats(
    emulator: arm.Entry,
    written: Path,
    small_source: Source,
    tmp_path: Path,
    name: str,
    scheme: SchemeName,
    ending: str,
) -> None:
    path = written / f"{scheme}{ending}"
    job = Job(name, str(path), str(written / "samples.npz"))
    first, second = (_ran(job, PI_5, tmp_path / each) for each in ("first", "other-place"))
    runner = formats.load(name).load(path)
    here = tuple(runner(sample) for sample in small_source.evaluation.inputs[:8])
    found = device_checks.agreement(first, here, _reference(small_source), scheme)
    checks = device_checks.checks(first, found, scheme)
    assert [check.verdict for check in checks] == ["pass", "pass", "pass"]
    assert [each.value for each in found.to_host.shared] == [100]
    assert (found.lsbs is None) == (scheme == "fp32" or name == "onnx"), "its last layer gives floats"
    if emulator.made.no_counts:
        pytest.skip(emulator.made.no_counts)
    assert first.cost is not None
    assert second.cost is not None
    assert second.cost.instructions == pytest.approx(first.cost.instructions, rel=1e-4)
    assert first.cost.spread < 1e-3
    assert len(first.outputs) == 8
    assert (first.cost.dot > 0) == (scheme == "w8a8"), "a Cortex-A76 has dot products of int8"
    assert first.cost.simd + first.cost.memory < first.cost.instructions
    assert first.cost.bytes_read > path.stat().st_size / 2, "most weights are read in an inference"


def test_what_a_runtime_does_now_and_then_is_not_counted(tmp_path: Path) -> None:
    """Counts of ONNX Runtime on Silero VAD: eight samples, the last one four times."""
    counts = [944869, 859827, 862225, 861512, 862571, 861284, 862164, 862088, 862019, 862005, 862023]
    kinds = [each.name for each in fields(Cost) if each.name not in ("spread", "instructions")]

    def cost_of(taken: list[int]) -> int:
        rest = "".join(f" {kind}=1" for kind in kinds)
        lines = [f"instructions={each}{rest}" for each in taken]
        (tmp_path / "counts").write_text("\n".join(lines) + "\ndelegate=a instructions=5\n")
        found = cost.read(tmp_path / "counts")
        assert found is not None
        return found.instructions

    plain = cost_of(counts)
    assert plain == 862005
    for at in range(len(counts)):
        late = list(counts)
        for place, more in zip(range(at, len(counts)), (340, 110)):
            late[place] += more
        assert cost_of(late) == pytest.approx(plain, rel=3e-5)


@pytest.mark.slow
def test_runners_that_zig_compiles_answer_the_same(
    emulator: arm.Entry, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [Job(name, str(written / f"w8a8{ending}"), str(written / "samples.npz")) for name, ending in BOTH]
    before = [_ran(job, PI_5, tmp_path / "run", samples=2) for job in jobs]
    other = arm.Entry(tmp_path / "cache" / "emulator" / emulator.folder.name)
    shutil.copytree(emulator.folder, other.folder, symlinks=True)
    fetch.zig(tmp_path / "zig")
    compiler = build.zig(tmp_path / "zig", emulator.libraries, build.headers())
    for runtime, version in pins.versions().items():
        with zipfile.ZipFile(fetch.wheel(runtime, version, tmp_path / "wheels")) as archive:
            archive.extractall(tmp_path)
        other.runner(runtime).unlink()
        build.runner(runtime, compiler, tmp_path / runtime, other.runner(runtime))
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))
    for job, first in zip(jobs, before, strict=True):
        again = _ran(job, PI_5, tmp_path / "run", samples=2)
        assert np.array_equal(again.outputs, first.outputs)
        if first.cost and again.cost:
            assert again.cost.instructions == pytest.approx(first.cost.instructions, rel=0.02)


def test_an_older_core_runs_other_kernels(emulator: arm.Entry, written: Path, tmp_path: Path) -> None:
    job = Job("executorch", str(written / "w8a8.pte"), str(written / "samples.npz"))
    old, new = (_ran(job, device, tmp_path / device.name) for device in (PI_3, PI_5))
    if not old.cost or not new.cost:
        pytest.skip(old.no_cost)
    assert old.cost.dot == 0, "a Cortex-A53 has no dot products"
    assert new.cost.dot > 0
    assert new.cost.instructions < old.cost.instructions


class _Parted(torch.nn.Module):
    """A convolution and a linear layer for XNNPACK, and a running sum between them that it leaves alone."""

    def __init__(self, *, sums: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head, self.sums = torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 8), sums

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for _ in range(self.sums):
            x = torch.cumsum(x, 2)
        output: torch.Tensor = self.head(x.mean((2, 3), keepdim=True).flatten(1))
        return output


@pytest.mark.parametrize("sums", [0, 4])
def test_instructions_are_told_by_delegate(emulator: arm.Entry, tmp_path: Path, sums: int) -> None:
    if emulator.made.no_counts:
        pytest.skip(emulator.made.no_counts)
    source = source_of(_Parted(sums=sums), [torch.randn(1, 3, 16, 16)])
    exported = formats.load("executorch").export(source, Recipe("fp32"), PI_5, tmp_path / "net.pte")
    write_samples(source.evaluation.inputs, tmp_path / "samples.npz")
    job = Job("executorch", str(tmp_path / "net.pte"), str(tmp_path / "samples.npz"))
    first, second = (_ran(job, PI_5, tmp_path / each) for each in ("first", "second"))
    assert first.delegates == second.delegates, "they repeat exactly"
    assert set(first.delegates) == {"XnnpackBackend"}
    assert first.cost is not None
    inside = first.delegates["XnnpackBackend"]
    outside = first.cost.instructions - inside
    assert inside > 20_000
    assert (outside > 8 * 14 * 14 * sums) if sums else (outside < 2500), "an instruction an element at least"
    assert exported.delegation is not None
    (told,) = exported.delegation.counted(first.cost.instructions, first.delegates).delegates
    assert told.instructions == inside
    assert told.share_of_instructions == pytest.approx(inside / first.cost.instructions)


def test_what_stands_in_for_a_core_says_what_it_lacks(
    emulator: arm.Entry, written: Path, tmp_path: Path
) -> None:
    job = Job("executorch", str(written / "w8a8.pte"), str(written / "samples.npz"))
    run = _ran(job, target.load("pixel-8"), tmp_path / "run", samples=1)
    assert "in place of" in run.about
    assert "i8mm" in run.about
    assert "in place of" not in _ran(job, PI_5, tmp_path / "run", samples=1).about
    assert len(run.outputs) == 1


@pytest.mark.parametrize("name", ["w8a8.onnx", "w8a8.ort", "w8a8.pte"])
def test_a_truncated_file_is_a_death(emulator: arm.Entry, written: Path, tmp_path: Path, name: str) -> None:
    data = (written / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    format_name = "executorch" if name.endswith("pte") else "onnx"
    job = Job(format_name, str(tmp_path / name), str(written / "samples.npz"))
    death = arm.run(job, PI_5, tmp_path / "run", 300)
    assert isinstance(death, Death)
    assert death.reason.endswith("(on the emulated device)")


def _model(path: Path, *nodes: onnx.NodeProto, answer: int = TensorProto.FLOAT) -> None:
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", answer, [1, 4])],
    )
    sets = [helper.make_opsetid("", 18), helper.make_opsetid("of.nobody", 1)]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=8), path)


def test_an_operator_that_does_not_resolve_is_named(emulator: arm.Entry, tmp_path: Path) -> None:
    _model(tmp_path / "model.onnx", helper.make_node("Unheard", ["x"], ["y"], domain="of.nobody"))
    write_samples(((np.ones((1, 4), np.float32),),), tmp_path / "samples.npz")
    job = Job("onnx", str(tmp_path / "model.onnx"), str(tmp_path / "samples.npz"))
    death = arm.run(job, PI_5, tmp_path / "run", 300)
    assert isinstance(death, Death)
    assert "Unheard" in death.reason


class _Sums(torch.nn.Module):
    """An operator that XNNPACK leaves to ExecuTorch's own kernels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cumsum(x, 1)


def test_an_operator_of_executorch_that_does_not_resolve_is_named(
    emulator: arm.Entry, tmp_path: Path
) -> None:
    source = source_of(_Sums(), [torch.ones(1, 4)])
    formats.load("executorch").export(source, Recipe("fp32"), PI_5, tmp_path / "whole.pte")
    write_samples(source.evaluation.inputs, tmp_path / "samples.npz")
    whole = Job("executorch", str(tmp_path / "whole.pte"), str(tmp_path / "samples.npz"))
    assert _ran(whole, PI_5, tmp_path / "run").outputs[0][0].tolist() == [[1, 2, 3, 4]]
    data = (tmp_path / "whole.pte").read_bytes()
    assert b"aten::cumsum" in data
    (tmp_path / "model.pte").write_bytes(data.replace(b"aten::cumsum", b"aten::unhear"))
    job = Job("executorch", str(tmp_path / "model.pte"), str(tmp_path / "samples.npz"))
    death = arm.run(job, PI_5, tmp_path / "run", 300)
    assert isinstance(death, Death)
    assert "aten::unhear" in death.reason


def test_a_device_that_hangs_is_stopped(emulator: arm.Entry, written: Path, tmp_path: Path) -> None:
    job = Job("onnx", str(written / "fp32.onnx"), str(written / "samples.npz"))
    death = arm.run(job, PI_5, tmp_path / "run", 0.05)
    assert isinstance(death, Death)
    assert "stopped at the time limit" in death.reason


def test_where_host_and_device_part_is_told_by_layer(emulator: arm.Entry, tmp_path: Path) -> None:
    """A float too large for an integer: x86 answers the least one, ARM the largest."""
    _model(
        tmp_path / "model.onnx",
        helper.make_node("Exp", ["x"], ["large"], name="grow"),
        helper.make_node("Cast", ["large"], ["whole"], name="cut", to=TensorProto.INT32),
        helper.make_node("Cast", ["whole"], ["y"], name="back", to=TensorProto.FLOAT),
    )
    sample = (np.array([[0.5, 1.0, 2.0, 40.0]], np.float32),)
    found = localize_mismatch.find(tmp_path / "model.onnx", sample, PI_5, tmp_path / "run", 300)
    assert found is not None
    assert (found.layer, found.operator) == ("cut", "Cast")
    assert found.before < 1e-5
    small = (np.array([[0.5, 1.0, 2.0, 4.0]], np.float32),)
    assert localize_mismatch.find(tmp_path / "model.onnx", small, PI_5, tmp_path / "run", 300) is None


class _Large(torch.nn.Module):
    """A float too large for an integer between layers that XNNPACK takes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole = (self.first(x) * 1e6).to(torch.int32)
        output: torch.Tensor = self.last(whole.to(torch.float32) * 1e-6)
        return output


def test_where_they_part_in_a_pte_is_found_by_cutting_it(emulator: arm.Entry, tmp_path: Path) -> None:
    small, large = torch.ones(1, 4), torch.full((1, 4), 1e6)
    source = source_of(_Large(), [small])
    formats.load("executorch").export(source, Recipe("fp32"), PI_5, tmp_path / "net.pte")
    found = localize_mismatch.find(tmp_path / "net.pte", (large.numpy(),), PI_5, tmp_path / "run", 300)
    assert found is not None
    assert found.layer == "dim_order_ops::_to_dim_order_copy #1"
    assert found.operator == "dim_order_ops::_to_dim_order_copy"
    assert found.before < 1e-5 < found.relative
    assert localize_mismatch.find(tmp_path / "net.pte", (small.numpy(),), PI_5, tmp_path / "run", 300) is None


def test_a_build_s_report_names_the_layer(emulator: arm.Entry, tmp_path: Path) -> None:
    """The check fails, and the note says where device and host differ."""
    large = torch.full((1, 4), 1e6)
    source = source_of(_Large(), [large])
    path = tmp_path / "net.pte"
    formats.load("executorch").export(source, Recipe("fp32"), PI_5, path)
    write_samples(source.evaluation.inputs, tmp_path / "samples.npz")
    on = Device(
        target=PI_5,
        samples=tmp_path / "samples.npz",
        inputs=source.evaluation.inputs,
        scratch=tmp_path / "scratch",
        time_limit=300,
        steps=Steps(),
        absent="",
    )
    runner = formats.load("executorch").load(path)
    here = tuple(runner(sample) for sample in source.evaluation.inputs)
    file = ModelFile(path, "executorch", "fp32")
    judged = on.evaluate(file, Evaluation(), here, _reference(source))
    assert [(check.name, check.verdict) for check in judged.checks] == [
        ("device runs", "pass"),
        ("device agrees", "fail"),
        ("device agrees with float", "fail"),
    ]
    (note,) = judged.notes
    assert note.startswith("device and host differ at dim_order_ops::_to_dim_order_copy '")


def test_files_whose_layers_cannot_be_asked_for_say_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"outputs of layers cannot be read from \.ort files"):
        localize_mismatch.find(tmp_path / "net.ort", (np.ones(1),), PI_5, tmp_path / "run", 1)


@pytest.mark.parametrize(("count", "first"), [(1, 0), (2, 1), (7, 0), (66, 41), (66, 65)])
def test_bisection_finds_the_layer_in_few_runs(count: int, first: int) -> None:
    asked: list[int] = []

    def differs(number: int) -> tuple[float, float]:
        asked.append(number)
        return (0.5 if number >= first else 1e-7), 1e-4

    found = localize_mismatch.bisected(count, differs)
    assert found is not None
    assert (found.number, found.relative) == (first, 0.5)
    assert found.before == (1e-7 if first else 0)
    assert len(asked) <= 1 + np.ceil(np.log2(count + 1))
    assert localize_mismatch.bisected(count, lambda _: (0.0, 0.0)) is None


def _here(name: str) -> str:
    """The folder of a runtime's libraries of this host."""
    module = pytest.importorskip(name)
    return str(next(iter(module.__path__)))


def test_the_runner_for_the_host_answers_as_the_runtime_in_python(
    written: Path, small_source: Source, tmp_path: Path
) -> None:
    compiler = build.host()
    if compiler is None:
        pytest.skip("this host has no C++ compiler")
    samples = small_source.evaluation.inputs[:8]
    tensors.write(samples, tmp_path / "in.bin")
    onnxruntime, executorch = Path(_here("onnxruntime")), Path(_here("executorch"))
    build.runner("onnxruntime", compiler, onnxruntime, tmp_path / "onnx")
    build.runner("executorch", compiler, executorch, tmp_path / "executorch")
    libraries = sorted((onnxruntime / "capi").glob("libonnxruntime.so*"))
    for name, file, given in (("onnx", "w8a8.onnx", [libraries[0]]), ("executorch", "w8a8.pte", [])):
        line = [tmp_path / name, *given, written / file, tmp_path / "in.bin", tmp_path / "out.bin", "1"]
        environment = {"LD_LIBRARY_PATH": str(executorch / "lib")}
        subprocess.run(list(map(str, line)), check=True, capture_output=True, env=environment)
        runner = formats.load(name).load(written / file)
        for ours, sample in zip(tensors.read(tmp_path / "out.bin"), samples, strict=True):
            np.testing.assert_array_equal(ours[0], runner(sample)[0])


def test_samples_come_back_as_they_were(tmp_path: Path) -> None:
    rows = tuple((np.arange(6, dtype=kind).reshape(2, 3), np.array(True)) for kind in ("<f4", ">i8", "u1"))
    tensors.write(rows, tmp_path / "rows.bin")
    for ours, theirs in zip(tensors.read(tmp_path / "rows.bin"), rows, strict=True):
        assert [each.tolist() for each in ours] == [each.tolist() for each in theirs]


def test_every_core_that_a_target_may_name_has_its_model() -> None:
    assert set(machine.MODELS) == set(get_args(target.Core))
    assert all(core == model.name for core, model in machine.MODELS.items())


def _run_of(*rows: list[float]) -> arm.Run:
    outputs = tuple((np.array([row], np.float32),) for row in rows)
    return arm.Run(outputs, None, "", "one core", "a runtime", 1.0)


def _of_classes(outputs: tuple[Sample, ...]) -> Reference:
    """A classifier that gives `outputs`."""
    size = outputs[0][0].shape[1]
    inputs = (TensorInput(kind="tensor", shape=(1, size)),)
    contract = Contract(inputs=inputs, outputs=(Output(kind="classification"),))
    return Reference(outputs, outputs, contract, judge.judged(contract.outputs, outputs, None, is_noise=True))


def _reference(source: Source) -> Reference:
    return Reference(source.evaluation.inputs, source.reference, source.contract, source.judged)


def _verdicts(run: arm.Run, here: arm.Run, reference: arm.Run, scheme: SchemeName) -> list[str]:
    found = device_checks.agreement(run, here.outputs, _of_classes(reference.outputs), scheme)
    return [check.verdict for check in device_checks.checks(run, found, scheme)]


def test_answers_that_differ_fail_the_verdict() -> None:
    here, there = _run_of([1.0, 2.0, 4.0]), _run_of([4.0, 2.0, 1.0])
    for scheme in ("fp32", "w8a8"):
        found = device_checks.agreement(there, here.outputs, _of_classes(here.outputs), scheme)
        assert _verdicts(there, here, here, scheme) == ["pass", "fail", "fail"]
        assert [each.value for each in found.to_host.shared] == [0]
    assert found.lsbs == 3
    broken = _run_of([np.nan])
    assert [check.verdict for check in device_checks.checks(broken, found, "w8a8")] == ["fail"]


def test_steps_are_told_of_codes_and_not_of_floats() -> None:
    draw = np.random.default_rng(0)
    codes = draw.integers(0, 256, (2, 10))
    there = codes.copy()
    there[1, 4] += 2 if there[1, 4] < 128 else -2
    a, b = (_run_of(*(np.float32(0.0371) * (each - 40)).tolist()) for each in (codes, there))
    assert device_checks.agreement(b, a.outputs, _of_classes(a.outputs), "w8a8").lsbs == pytest.approx(
        2, abs=0.01
    )
    floats = _run_of(*draw.normal(size=(2, 10)).tolist())
    found = device_checks.agreement(floats, floats.outputs, _of_classes(floats.outputs), "w8a8")
    assert found.lsbs is None
    assert "LSB" not in device_checks.to_host(found, "w8a8").reason


def test_what_the_host_itself_lacks_to_float_is_no_failure_of_the_device() -> None:
    off, reference = _run_of([1.0, 2.0, 4.0]), _run_of([4.0, 2.0, 1.0])
    for scheme in ("fp32", "w8a8"):
        assert _verdicts(off, off, reference, scheme) == ["pass", "pass", "pass"]
    assert _verdicts(_run_of([1.0, 2.0, 4.01]), reference, reference, "w8a8") == ["pass", "fail", "fail"]


def test_one_near_tie_passes_and_two_do_not() -> None:
    """Cosine alone would let all tops be others."""
    rows, tied = [[1.0, 0.999]] * 8, [0.999, 1.0]
    here = _run_of(*rows)
    assert _verdicts(_run_of(*rows[1:], tied), here, here, "w8a8") == ["pass", "pass", "pass"]
    assert _verdicts(_run_of(*rows[2:], tied, tied), here, here, "w8a8") == ["pass", "fail", "fail"]


def test_the_emulated_system_shows_the_devices_core_and_no_other(tmp_path: Path) -> None:
    entry = arm.Entry(tmp_path / "cache")
    machine.write(target.load("pixel-8"), entry, tmp_path / "system")
    told = (tmp_path / "system/proc/cpuinfo").read_text(encoding="ascii")
    assert "CPU part\t: 0xd0b\n" in told
    (features,) = (line.split(":")[1].split() for line in told.splitlines() if line.startswith("Features"))
    assert "asimddp" in features
    assert "i8mm" not in features, "the core that stands in has none"
    cores = tmp_path / "system/sys/devices/system/cpu"
    assert {(cores / each).read_text() for each in ("possible", "present", "online")} == {"0\n"}
