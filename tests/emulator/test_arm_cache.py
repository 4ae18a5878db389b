"""The emulator's cache: whole or not at all, for anyone, by two at once, and after a kill."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from conftest import Command
from packaging.requirements import Requirement
from packaging.version import Version

from edgepack import resources, target
from edgepack.emulator import arm
from edgepack.emulator.arm import cache, fetch, pins
from edgepack.errors import EdgepackError, TargetError

PI_5 = target.load("raspberry-pi-5")
SETUP = "from edgepack.emulator import arm; arm.setup(lambda told: print(told, flush=True))"


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if problem := arm.unsuited(PI_5, "onnx"):
        pytest.skip(problem)
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "emulator"


@pytest.fixture
def online(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, for which packages may be fetched."""
    monkeypatch.delenv("EDGEPACK_OFFLINE")
    return own_cache


def test_without_a_cache_there_is_no_status_and_nothing_to_clean(own_cache: Path) -> None:
    assert arm.status() is None
    assert arm.clean() == []


def test_offline_nothing_is_fetched(own_cache: Path, tmp_path: Path) -> None:
    for fetches in (
        lambda: fetch.debian(pins.QEMU, tmp_path / "unpacked", print),
        lambda: fetch.wheel("executorch", "1.5.1", tmp_path / "wheel"),
    ):
        with pytest.raises(EdgepackError, match="EDGEPACK_OFFLINE is set"):
            fetches()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_emulated_says_why(own_cache: Path) -> None:
    assert "[emulator]" in arm.unsuited(target.load("iphone-15"), "executorch")
    assert "coreml" in arm.unsuited(PI_5, "coreml")


def test_a_version_that_is_not_known_is_refused(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pins.WHEELS, "onnxruntime", {"1.0.0": "0" * 64})
    reason = arm.unsuited(PI_5, "onnx")
    assert "1.0.0" in reason
    assert "installed version" in reason
    assert "pip install 'onnxruntime==1.0.0'" in reason


def test_the_version_that_is_installed_is_fetched(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"1.5.1": "1" * 64, "1.5.2": "2" * 64, "1.5.3": "3" * 64}
    monkeypatch.setitem(pins.WHEELS, "executorch", known)
    names = []
    for installed in ("1.5.2", "1.5.1"):
        monkeypatch.setattr(pins, "_installed", lambda runtime, version=installed: version)
        assert pins.unknown("executorch") == ""
        assert pins.versions()["executorch"] == installed
        names.append(cache._name())
    assert names[0] != names[1], "each version has an emulator of its own"
    monkeypatch.setattr(pins, "_installed", lambda runtime: "1.5.4")
    assert "executorch 1.5.1, 1.5.2, 1.5.3, but not the installed version 1.5.4" in pins.unknown("executorch")
    assert pins.versions()["executorch"] == "1.5.3"


@pytest.mark.parametrize("runtime", pins.WHEELS)
def test_pins_are_of_versions_that_the_extras_allow(runtime: pins.Runtime) -> None:
    requirements = [Requirement(text) for text in metadata.requires("edgepack") or ()]
    allowed = next(each.specifier for each in requirements if each.name == runtime)
    versions = list(pins.WHEELS[runtime])
    assert all(allowed.contains(version) for version in versions)
    assert versions == sorted(versions, key=Version), "the newest is the last"


def test_a_changed_pin_is_another_entry(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache._name()
    changed = dict.fromkeys(pins.WHEELS["onnxruntime"], "0" * 64)
    monkeypatch.setitem(pins.WHEELS, "onnxruntime", changed)
    assert cache._name() != before


def test_a_package_of_another_hash_is_refused(online: Path, tmp_path: Path) -> None:
    if problem := fetch.cannot_unpack():
        pytest.skip(problem)
    (real,) = (each for each in pins.QEMU if each.name == "liburing2")
    false = pins.Debian(real.name, real.version, "0" * 64)
    with pytest.raises(EdgepackError, match="sha256"):
        fetch.debian((false,), tmp_path / "unpacked", print)


def test_a_version_that_the_archive_lost_is_told(online: Path, tmp_path: Path) -> None:
    if problem := fetch.cannot_unpack():
        pytest.skip(problem)
    told: list[str] = []
    fetch.debian((pins.Debian("liburing2", "0.1", "0" * 64),), tmp_path / "unpacked", told.append)
    (note,) = told
    assert "no liburing2 0.1" in note
    assert "sha256" in note
    assert list((tmp_path / "unpacked").rglob("liburing.so*"))


def test_a_folder_that_cannot_be_written_is_a_sentence(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "file"))
    with pytest.raises(EdgepackError) as caught:
        arm.setup(print)
    assert "EDGEPACK_CACHE" in caught.value.hint


def _killed(own_cache: Path) -> Path:
    """Kill a set-up once it has begun; the draft that it leaves."""
    before = set(own_cache.glob(f"{cache._DRAFT}*"))
    child = subprocess.Popen([sys.executable, "-c", SETUP], stdout=subprocess.PIPE, text=True)
    while not set(own_cache.glob(f"{cache._DRAFT}*")) - before:
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.communicate()
    (left,) = own_cache.glob(f"{cache._DRAFT}*")
    return left


def test_a_set_up_that_was_killed_leaves_no_entry_and_no_lock_and_the_next_sweeps_up(online: Path) -> None:
    first, second = _killed(online), _killed(online)
    assert first != second
    assert arm.status() is None
    assert arm.clean() == [second]
    assert list(online.iterdir()) == [online / "lock"]


def test_qemus_max_is_refused(tmp_path: Path) -> None:
    shipped = (Path(resources.targets()) / "raspberry-pi-5.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(shipped.replace('cpu = "cortex-a76"', 'cpu = "max"'))
    with pytest.raises(TargetError, match="computes wrongly"):
        target.load(str(tmp_path / "mine.toml"))


def test_the_commands_tell_what_is_there_and_what_cannot_be(own_cache: Path, command: Command) -> None:
    assert "not set up: run `edgepack emulator setup`" in command("emulator", "status").out
    assert "nothing was there" in command("emulator", "clean").out
    ended = command("emulator", "setup", "--target", "iphone-15")
    assert ended.code == TargetError("").exit_code
    assert "iphone-15 is not emulated" in ended.err
    ended = command("emulator", "setup", "--target", "raspberry-pi-5")
    assert ended.code != 0
    assert "EDGEPACK_OFFLINE is set" in ended.err
    own = own_cache / "arm-of-before"
    own.mkdir()
    assert str(own) in command("emulator", "clean").out
    assert not own.exists()


def _ordinary() -> list[str]:
    """What makes a command that of a user without rights: nothing, unless these tests are root's own."""
    if os.geteuid():
        return []
    line = ["unshare", "--user"]
    if not shutil.which(line[0]) or subprocess.run([*line, "true"], capture_output=True).returncode:
        pytest.skip("root cannot become a user without rights here: no user namespaces")
    return line


@pytest.mark.slow
def test_two_at_once_of_an_ordinary_user_with_no_home_make_one_entry(online: Path) -> None:
    environment = {**os.environ, "HOME": "/nonexistent"}
    line = [*_ordinary(), sys.executable, "-c", SETUP]
    children = [subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    logs = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sum("compiling" in log for log in logs) == 1
    assert sum("waiting" in log for log in logs) == 1
    assert len(list(online.glob("arm-*"))) == 1
    assert not list(online.glob(f"{cache._DRAFT}*"))
    assert arm.status() is not None
    shutil.rmtree(online)
