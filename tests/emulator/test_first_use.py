"""First use: the emulator set up by the build or the check that needs it, or skipped with the reason."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ALL_FORMATS, NET, SETTINGS, Command, write_samples

import edgepack
from edgepack import resources, target
from edgepack.emulator import arm
from edgepack.emulator.arm import cache, fetch
from edgepack.progress import ProgressState
from edgepack.report import Check, Report

PI_5 = target.load("raspberry-pi-5")
PROFILE = Path(resources.targets()) / "raspberry-pi-5.toml"
COMMAND = "`edgepack emulator setup`"


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small net's folder, with an empty cache of its own; skipped where nothing could be emulated."""
    if problem := arm.unsuited(PI_5, "onnx"):
        pytest.skip(problem)
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "edgepack.toml").write_text(SETTINGS)
    write_samples(tmp_path)
    return tmp_path


@pytest.fixture
def no_index(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network may be used, and pip knows no index and nothing that it was told before."""
    monkeypatch.delenv("EDGEPACK_OFFLINE")
    for name in [each for each in os.environ if each.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture
def silent_index(no_index: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package index that takes what it is sent and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.getsockname()[1]}/simple")
        yield


class Told:
    """A `Progress` that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def show(self, state: ProgressState) -> None:
        self.steps.append(state.text)


def _built(net: Path, **given: object) -> Report:
    (report,) = edgepack.build(str(net), scheme="fp32", out=str(net / "out"), **given)  # type: ignore[arg-type]
    return report


def _device(report: Report) -> Check:
    """The one check of the device, which all files share."""
    (found,) = {check for each in report.artifacts for check in each.checks if check.name == "device runs"}
    return found


def _nothing_is_left(net: Path) -> bool:
    return {each.name for each in cache.root().iterdir()} == {"lock"} and arm.status() is None


def test_offline_the_check_is_skipped_with_the_reason_and_the_command(net: Path, command: Command) -> None:
    ended = command("build", net, "--scheme", "fp32", "--out", net / "out")
    assert ended.code == 0
    assert "device runs: the ARM emulator is not set up: EDGEPACK_OFFLINE is set" in ended.out
    assert COMMAND in ended.out
    again = command("check", net / "out" / "raspberry-pi-5", "--json")
    (artifact, *_) = json.loads(again.out)["artifacts"]
    (check,) = (each for each in artifact["checks"] if each["name"] == "device runs")
    assert check["verdict"] == "skipped"
    assert COMMAND in check["reason"]
    assert _nothing_is_left(net)


def test_without_a_package_index_both_targets_go_on_after_one_try_and_no_half_cache_is_left(
    net: Path, no_index: None
) -> None:
    told = Told()
    names = ["raspberry-pi-5", "raspberry-pi-4"]
    reports = edgepack.build(str(net), targets=names, scheme="fp32", out=str(net / "out"), progress=told)
    for report in reports:
        assert report.passed
        assert _device(report).verdict == "skipped"
        assert "reaching pip's package index: pip failed: " in _device(report).reason
        assert COMMAND in _device(report).reason
    assert [each for each in told.steps if "set up" in each] == [
        "set up the ARM emulator: reaching the package index"
    ]
    assert _nothing_is_left(net)


def test_an_index_that_never_answers_is_not_waited_for(
    net: Path, silent_index: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "PATIENCE", 3.0)
    found = _device(_built(net))
    assert found.verdict == "skipped"
    assert "no response within 3 s" in found.reason
    assert _nothing_is_left(net)


def test_a_host_with_nothing_to_make_it_of_says_what_to_install(
    net: Path, no_index: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = net / "wheels"
    wheels.mkdir()
    (wheels / "onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_aarch64.whl").touch()
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PATH", str(wheels))
    found = _device(_built(net))
    assert found.verdict == "skipped"
    assert "this system has no apt-get and no dpkg-deb, and there is no qemu-aarch64" in found.reason
    assert "install the system packages" in found.reason
    assert _nothing_is_left(net)


def test_no_emulator_tries_nothing_and_the_flag_beats_the_file(net: Path, command: Command) -> None:
    assert (
        "turned off" in command("build", net, "--no-emulator", "--scheme", "fp32", "--out", net / "out").out
    )
    assert "turned off" in command("check", net / "out" / "raspberry-pi-5", "--no-emulator").out
    assert not cache.root().exists()
    (net / "edgepack.toml").write_text(f"{SETTINGS}emulator = false\n")
    assert "turned off" in command("plan", net).out
    assert "turned off" in _device(_built(net)).reason
    assert not cache.root().exists()
    assert "EDGEPACK_OFFLINE" in _device(_built(net, emulator=True)).reason
    assert "runs files for raspberry-pi-5" in command("plan", net, "--emulator").out


def test_a_profile_of_ones_own_without_a_core_is_told_to_name_one(net: Path, command: Command) -> None:
    text = PROFILE.read_text(encoding="utf-8")
    (net / "mine.toml").write_text(text.replace('[emulator]\ncpu = "cortex-a76"\n', ""))
    found = _device(_built(net, targets=[str(net / "mine.toml")]))
    assert found.verdict == "skipped"
    assert "the target has no [emulator] cpu" in found.reason
    assert "cortex-a53" in found.reason
    assert not cache.root().exists()
    assert "no [emulator] cpu" in command("targets", net / "mine.toml").out
    assert "cortex-a76" in command("targets", "raspberry-pi-5").out


def test_of_an_ios_device_nothing_is_said(net: Path) -> None:
    report = _built(net, targets=[str(ALL_FORMATS)], formats=["onnx"])
    assert all(check.name != "device runs" for each in report.artifacts for check in each.checks)


@pytest.mark.slow
def test_first_use_sets_it_up_with_progress_and_runs_the_files(
    net: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.delenv("EDGEPACK_OFFLINE")
    ended = command("build", net, "--out", net / "out")
    assert ended.code == 0
    assert "set up the ARM emulator: fetching onnxruntime" in ended.err
    assert "set up the ARM emulator: compiling the runner of onnxruntime" in ended.err
    assert "emulated Raspberry Pi 5" in ended.err
    assert "device runs" not in ended.out, "it was not skipped"
    again = command("check", net / "out" / "raspberry-pi-5")
    assert "set up" not in again.err
    assert "emulated Raspberry Pi 5" in again.err
