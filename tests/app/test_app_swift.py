"""The iOS app: it compiles against stubs of Apple's frameworks, and what needs none of them runs here."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from apps import cases, swift, swiftc
from apps.cases import decoded

from edgepack import metrics
from edgepack.app import escaping, monitoring, render, template
from edgepack.contract import Contract, ImageInput, Output, State, TensorInput
from edgepack.contract.expected import Expected, Histogram
from edgepack.errors import EdgepackError

NASTY = (*cases.NASTY, "\x00\x1b")
IMAGE = Contract(
    inputs=(ImageInput(kind="image", name=" ".join(NASTY), size=(8, 9), channels="BGR", resize="letterbox"),),
    outputs=(Output(kind="classification", labels=NASTY, activation="softmax", threshold=0.2),),
)
TENSORS = Contract(
    inputs=(
        TensorInput(kind="tensor", name="x", shape=(1, "n")),
        TensorInput(kind="tensor", name="h", shape=(1, 2)),
    ),
    outputs=(Output(name="y", units="m/s"), Output(name="g")),
    state=(State(input="h", output="g", initial=0.5),),
)


def rendered(folder: Path, format_name: str, contract: Contract) -> Path:
    everything = " ".join(NASTY)
    made = template.App(
        everything, everything, "net", "com.example.a_net", "a'b $é☃.mlpackage", format_name, "w8a8", 1,
        contract, 0.99,
        Expected(top_score=Histogram(edges=(0.3, 0.6)), input_mean=Histogram(edges=(75.0,))),
        {"executorch": "1.5.1+cpu", "onnxruntime": "1.32.0"},
    )  # fmt: skip
    template.render("ios-swift", made, folder / "app")
    return folder / "app"


@dataclass(frozen=True)
class Built:
    """The package of a model whose every name is nasty, compiled."""

    tools: swiftc.Tools
    out: Path

    def said(self, *lines: list[object]) -> str:
        return swift.driven(self.tools, self.out, list(lines))


@pytest.fixture(scope="module")
def tools(users_cache: None) -> swiftc.Tools:
    if reason := swiftc.absent():
        pytest.skip(f"Swift is not compiled: {reason}")
    try:
        made = swiftc.tools()
    except EdgepackError as cause:
        pytest.skip(f"Swift's compiler cannot be had: {cause}")
    if made.compiler is None:
        pytest.skip("Swift's compiler is that of the PATH, whose programs are not run")
    return made


@pytest.fixture(scope="module")
def built(tools: swiftc.Tools, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("swift")
    assert swift.built(rendered(folder, "coreml", IMAGE), tools, folder) == ""
    return Built(tools, folder)


@pytest.mark.parametrize("contract", [IMAGE, TENSORS], ids=["image", "tensors"])
@pytest.mark.parametrize("format_name", ["coreml", "executorch", "onnx"])
def test_whatever_it_is_called_it_compiles(
    tools: swiftc.Tools, tmp_path: Path, format_name: str, contract: Contract
) -> None:
    app = rendered(tmp_path, format_name, contract)
    assert swift.built(app, tools, tmp_path) == ""
    runtimes = [path.name for path in app.rglob("*Runtime.swift")]
    assert sorted(runtimes) == sorted(["ModelRuntime.swift", {
        "coreml": "CoreMLRuntime.swift", "executorch": "ExecuTorchRuntime.swift", "onnx": "OnnxRuntime.swift",
    }[format_name]])  # fmt: skip
    assert (
        'PRODUCT_BUNDLE_IDENTIFIER = "com.example.a-net";'
        in (app / "App.xcodeproj/project.pbxproj").read_text()
    )


def test_every_picture_gives_the_bits_of_the_reference(built: Built, tmp_path: Path) -> None:
    every = list(cases.cases(tmp_path))
    lines: list[list[object]] = []
    for n, case in enumerate(every):
        pixels, orientation = decoded(case.picture)
        np.save(tmp_path / f"{n}.npy", pixels)
        lines.append(
            ["picture", tmp_path / f"{n}.npy", orientation, tmp_path / f"{n}.bin", *cases.words(case.image)]
        )
    built.said(*lines)
    assert len(every) > 100
    assert cases.differing(every, tmp_path) == []


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1), (3, 2), (8, 1)])
def test_a_camera_s_pixel_buffer_becomes_upright_rgb(
    built: Built, tmp_path: Path, orientation: int, turns: int
) -> None:
    frame = np.random.default_rng(orientation).integers(0, 256, (13, 21, 4), dtype=np.uint8)
    (tmp_path / "frame").write_bytes(frame.tobytes())
    built.said(["bgra", tmp_path / "frame", 21, 13, orientation, tmp_path / "out"])
    wanted = np.rot90(frame[:, :, 2::-1], turns)
    assert (tmp_path / "out").read_bytes() == wanted.tobytes()


def test_names_and_ten_thousand_labels_come_through(built: Built, tmp_path: Path) -> None:
    everything = " ".join(NASTY)
    names = [everything, everything, "a'b $é☃.mlpackage", "output"]
    assert built.said(["texts"]) == "".join(f"{each}\0" for each in names)
    labels = (*NASTY, *(f"label {n}" for n in range(10_000)))
    text = "".join(f"{render.on_one_line(each)}\n" for each in labels)
    (tmp_path / "labels.txt").write_text(text, encoding="utf-8", newline="")
    said = built.said(["labels", tmp_path / "labels.txt"])
    assert said == "".join(f"{each}\0" for each in labels)


def test_scores_are_the_reference_s(built: Built, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 5, (1, 40)).astype(np.float32)
    np.save(tmp_path / "values.npy", values)
    (tmp_path / "labels.txt").write_text("".join(f"label {n}\n" for n in range(40)))
    said = built.said(["classes", tmp_path / "values.npy", tmp_path / "labels.txt"])
    found = [line.split("\t") for line in said.splitlines()]
    wanted = metrics.scores(values, "softmax")[0]
    order = np.argsort(-wanted, kind="stable").tolist()
    assert [int(number) for _, number, _ in found] == [each for each in order if wanted[each] >= 0.2]
    assert found
    for score, number, label in found:
        assert float(score) == pytest.approx(wanted[int(number)], rel=1e-12)
        assert label == f"label {number}"


def test_its_monitoring_is_read(built: Built, tmp_path: Path) -> None:
    built.said(["monitor", tmp_path / "m.json"])
    found = monitoring.read(tmp_path / "m.json")
    assert (found.count, found.failures, found.load_ms) == (3, 1, 12.5)
    assert (found.model, found.runtime) == (" ".join(NASTY), 'a "runtime"')
    assert (found.top_score, found.input_mean) == ((1, 1, 1), (1, 2))
    assert found.latency_ms is not None
    assert found.preprocess_ms is not None
    assert (found.latency_ms.p50, found.preprocess_ms.p50) == (2.0, 4.0)
    assert found.memory_mb is not None


def test_any_text_is_a_literal(tools: swiftc.Tools, tmp_path: Path) -> None:
    draw = random.Random(0)
    alphabet = "\"\\$'{}()#\n\r\t\0 ab☃🦙\u202eש\ud7ff\ufeff\u2028\U000e0001"
    texts = [*NASTY, *("".join(draw.choices(alphabet, k=draw.randrange(30))) for _ in range(500))]
    lines = "".join(f"        {escaping.swift(each)},\n" for each in texts)
    shown = 'print(text.unicodeScalars.map { String($0.value) }.joined(separator: " "))'
    code = f"@main enum Texts {{\n    static let all = [\n{lines}    ]\n"
    code += f"    static func main() {{ for text in all {{ {shown} }} }}\n}}\n"
    (tmp_path / "Texts.swift").write_text(code, encoding="utf-8")
    assert tools.compiled("Texts", [tmp_path / "Texts.swift"], tmp_path) == ""
    assert tools.linked([tmp_path / "Texts.o"], tmp_path / "texts") == ""
    said = tools.run(tmp_path / "texts").stdout.split("\n")[:-1]
    assert said == [" ".join(str(ord(char)) for char in each) for each in texts]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import SwiftUI\nstruct A: View { var body: some View { Text(1, 2) } }\n", "missing argument label"),
        ("func a() { let unused = 1 }\n", "never used"),
        ("import CoreML\nlet shared = MLModelConfiguration()\n", "not concurrency-safe"),
        ("import CoreVideo\nfunc a(_ b: CVPixelBuffer) { b.lock() }\n", "has no member 'lock'"),
    ],
)
def test_what_is_wrong_is_seen(tools: swiftc.Tools, tmp_path: Path, code: str, words: str) -> None:
    (tmp_path / "Wrong.swift").write_text(code)
    assert words in tools.compiled("Wrong", [tmp_path / "Wrong.swift"], tmp_path)


def test_a_compiler_of_the_path_serves_where_none_can_be_fetched(
    tools: swiftc.Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frontend = " ".join(map(str, tools.frontend()))
    (tmp_path / "swiftc").write_text(f'#!/bin/sh\nshift\nexec {frontend} "$@"\n')
    (tmp_path / "swiftc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(swiftc, "_unfit", lambda: "it is elsewhere")
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))
    assert swiftc.absent() == ""
    made = swiftc.tools()
    assert (made.compiler, made.about) == (None, "swiftc of the PATH")
    assert swift.built(rendered(tmp_path, "onnx", IMAGE), made, tmp_path / "out") == ""


def test_what_does_not_parse_or_hold_together_is_seen(tmp_path: Path) -> None:
    app = rendered(tmp_path, "coreml", IMAGE)
    (app / "App" / "ModelApp.swift").write_text("struct ModelApp {\n    let x =\n}\n")
    project = app / "App.xcodeproj" / "project.pbxproj"
    project.write_text(
        project.read_text().replace("productRef = 0A000000000000000000000D", "productRef = " + "F" * 24)
    )
    (app / "App" / "PrivacyInfo.xcprivacy").unlink()
    failed = {each.what: each.detail for each in swift.parsed(app) if each.outcome == "failed"}
    assert set(failed) == {"Swift, parsed", "Xcode project, parsed", "privacy manifests, parsed"}
    assert "ModelApp.swift" in failed["Swift, parsed"]
    assert "F" * 24 in failed["Xcode project, parsed"]
