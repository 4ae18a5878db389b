"""The C++ app: its pre-processing gives the reference's bits; a rendered one builds, runs and monitors."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from apps import cases, cpp

from edgepack import resources
from edgepack.app import render, template
from edgepack.app.render import Choice
from edgepack.contract import Contract, ImageInput, Output
from edgepack.contract.expected import Expected

pytestmark = pytest.mark.skipif(bool(cpp.absent()), reason=f"C++ apps are not built: {cpp.absent()}")

STRICT = ("-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")


def rendered(folder: Path, labels: tuple[str, ...] = (), name: str = "net") -> Path:
    """The app of a model of one picture, without model and golden vectors."""
    image = ImageInput(kind="image", name=name or "input", size=(8, 8))
    contract = Contract(inputs=(image,), outputs=(Output(kind="classification", labels=labels),))
    made = template.App(
        name, name, "net", "com.example.net", f"{name}.onnx".replace("/", "_"), "onnx", "w8a8", 1, contract,
        0.99, Expected(), {},
    )  # fmt: skip
    template.render("linux-cpp", made, folder / "app")
    return folder / "app"


def compiled(sources: list[Path], include: Path, out: Path, *libraries: str) -> Path:
    flags = [*STRICT, "-O1", "-ffp-contract=off", "-DAPP_HAS_JPEG", "-DAPP_HAS_PNG", f"-I{include}"]
    line = ["c++", *flags, "-o", str(out), *map(str, sources), *libraries]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if "jpeglib.h" in done.stderr or "png.h" in done.stderr:
        pytest.skip("libjpeg's or libpng's headers are not installed (Debian: libjpeg-dev libpng-dev)")
    assert done.returncode == 0, done.stderr[:3000]
    return out


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    include = rendered(folder) / "src"
    sources = [include / f"{name}.cpp" for name in ("audio", "picture", "preprocess", "resample")]
    sources.append(Path(cpp.__file__).parent / "cpp" / "tensors.cpp")
    return compiled(sources, include, folder / "tensors", "-ljpeg", "-lpng")


def test_every_picture_gives_the_bits_of_the_reference(driver: Path, tmp_path: Path) -> None:
    every = list(cases.cases(tmp_path))
    lines = [
        " ".join(map(str, ("picture", case.picture, tmp_path / f"{n}.bin", *cases.words(case.image))))
        for n, case in enumerate(every)
    ]
    subprocess.run([driver], input="\n".join(lines) + "\n", text=True, check=True)
    assert len(every) > 100
    assert cases.differing(every, tmp_path) == []


def test_camera_frames_become_rgb_by_the_contract_s_arithmetic(driver: Path, tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 256, (13, 10, 2, 2), dtype=np.uint8)  # [Y0 U] [Y1 V]
    (tmp_path / "frame").write_bytes(raw.tobytes())
    text = f"yuyv {tmp_path / 'frame'} {tmp_path / 'out'} 20 13\n"
    subprocess.run([driver], input=text, text=True, check=True)
    luma = raw[:, :, :, 0].astype(np.int64)
    u, v = (np.repeat(raw[:, :, n : n + 1, 1].astype(np.int64), 2, axis=2) for n in (0, 1))
    want = cases.full_range(luma, u, v).reshape(13, 20, 3)
    got = np.frombuffer((tmp_path / "out").read_bytes(), np.uint8).reshape(13, 20, 3)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("bits", "tag", "extensible"),
    [(8, 1, False), (16, 1, False), (24, 1, True), (32, 1, False), (32, 3, False), (32, 3, True)],
)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_sound_becomes_samples_by_the_contract_s_arithmetic(
    driver: Path, tmp_path: Path, bits: int, tag: int, extensible: bool, channels: int
) -> None:
    sound = np.random.default_rng(bits).uniform(-1, 1, (301, channels))
    want = cases.wav(tmp_path / "a.wav", sound, 8000, bits, tag=tag, extensible=extensible)
    text = f"wav {tmp_path / 'a.wav'} {tmp_path / 'out'} 8000\n"
    subprocess.run([driver], input=text, text=True, check=True)
    assert (tmp_path / "out").read_bytes() == want.tobytes()


def test_names_and_labels_come_through_whatever_they_are_spelt_with(tmp_path: Path) -> None:
    main = '#include <cstdio>\n#include "contract.h"\n#include "labels.h"\n'
    main += "int main(int, char** words) { std::fputs(contract::kName, stdout); std::putchar(0);\n"
    main += "for (const auto& each : read_labels(words[1])) {\n"
    main += "std::fputs(each.c_str(), stdout); std::putchar(0); } }\n"
    labels = (*cases.NASTY, *(f"label {n}" for n in range(10_000)))
    (tmp_path / "labels.txt").write_text(
        "".join(f"{render.on_one_line(each)}\n" for each in labels), encoding="utf-8", newline=""
    )
    for number, name in enumerate(cases.NASTY):
        folder = tmp_path / str(number)
        include = rendered(folder, name=name) / "src"
        (folder / "main.cpp").write_text(main)
        program = compiled([folder / "main.cpp", include / "labels.cpp"], include, folder / "main")
        said = subprocess.run([program, tmp_path / "labels.txt"], capture_output=True, check=True).stdout
        assert said.decode().split("\0")[:-1] == [name, *labels]


@pytest.fixture(scope="module")
def built(fashion_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cpp") / "app"
    render.rendered(fashion_bundle, folder, Choice("linux-cpp", "onnx"), force=False)
    assert cpp.built(folder, "build", cpp.QUICK) == ""
    return folder


def test_it_repeats_the_golden_vectors_and_fails_on_others(built: Path, tmp_path: Path) -> None:
    done = cpp.run(["build/app", "--selftest"], built, cpp.environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same bits, ok" in done.stdout
    shutil.copytree(built, tmp_path / "app")
    told = tmp_path / "app" / "golden" / "host_0.npy"
    np.save(told, np.roll(np.load(told), 1, axis=-1))
    assert cpp.run(["build/app", "--selftest"], tmp_path / "app", cpp.environment()).returncode == 1
    shutil.copyfile(built / "golden" / "host_0.npy", told)
    picture = tmp_path / "app" / "golden" / "picture.npy"
    np.save(picture, np.load(picture) ^ 128)
    done = cpp.run(["build/app", "--selftest"], tmp_path / "app", cpp.environment())
    assert (done.returncode, "other bits" in done.stdout) == (1, True)


def test_it_names_pictures_and_its_monitoring_is_read(
    built: Path, fashion_bundle: Path, tmp_path: Path
) -> None:
    from edgepack.app import monitoring
    from edgepack.contract import expected

    pictures = sorted(cases.PICTURES.glob("*.png"))
    line = ["build/app", *pictures, "--top", "1", "--monitor", tmp_path / "m.json"]
    done = cpp.run([*line], built, cpp.environment())
    assert done.returncode == 0, done.stderr
    said = [each.split(maxsplit=1)[1] for each in done.stdout.splitlines()[1::2]]
    assert [cases.called(each) for each in said] == [each.stem for each in pictures]
    found = monitoring.read(tmp_path / "m.json")
    assert (found.count, found.failures, found.model) == (len(pictures), 0, "fashion0")
    assert found.latency_ms is not None
    assert found.latency_ms.p50 <= found.latency_ms.p99 <= found.latency_ms.max
    wanted = expected.read(fashion_bundle)
    assert [each.what for each in monitoring.drifts(found, wanted)] == ["top score", "input mean"]
    assert sum(found.input_mean or ()) == len(pictures)
    assert json.loads((tmp_path / "m.json").read_text())["device"] == "Raspberry Pi 5"


def test_what_cannot_be_read_is_said(built: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "c.ppm").write_bytes(b"P6 9 9 255 x")
    for name in ("a.png", "b.jpg", "c.ppm", "none.png"):
        done = cpp.run(["build/app", tmp_path / name], built, cpp.environment())
        assert (done.returncode, name in done.stderr) == (2, True), done.stderr
    done = cpp.run(["build/app", "--selftest", "--runtime", "/none.so"], built)
    assert (done.returncode, "/none.so" in done.stderr) == (2, True)


def test_the_runner_of_the_emulator_shares_the_app_s_header() -> None:
    assert (resources.templates() / "linux-cpp" / "src" / "ort.h").is_file()
