"""The iOS app: it is written as Swift, an Xcode project and property lists can be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from apps import cases, swift

from edgepack import template
from edgepack.contract import Contract, ImageInput, Output, State, TensorInput
from edgepack.expected import Expected

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
        contract, 0.99, Expected(), {"executorch": "1.5.1+cpu", "onnxruntime": "1.32.0"},
    )  # fmt: skip
    template.render("ios-swift", made, folder / "app")
    return folder / "app"


@pytest.mark.parametrize("contract", [IMAGE, TENSORS], ids=["image", "tensors"])
@pytest.mark.parametrize("format_name", ["coreml", "executorch", "onnx"])
def test_whatever_it_is_called_it_parses(tmp_path: Path, format_name: str, contract: Contract) -> None:
    app = rendered(tmp_path, format_name, contract)
    rows = swift.prove(app, tmp_path)
    assert [(each.what, each.detail) for each in rows if each.outcome == "failed"] == []
    runtimes = [path.name for path in app.rglob("*Runtime.swift")]
    assert sorted(runtimes) == sorted(["ModelRuntime.swift", {
        "coreml": "CoreMLRuntime.swift", "executorch": "ExecuTorchRuntime.swift", "onnx": "OnnxRuntime.swift",
    }[format_name]])  # fmt: skip
    assert (
        'PRODUCT_BUNDLE_IDENTIFIER = "com.example.a-net";'
        in (app / "App.xcodeproj/project.pbxproj").read_text()
    )


def test_what_does_not_parse_or_hold_together_is_seen(tmp_path: Path) -> None:
    app = rendered(tmp_path, "coreml", IMAGE)
    (app / "App" / "ModelApp.swift").write_text("struct ModelApp {\n    let x =\n}\n")
    project = app / "App.xcodeproj" / "project.pbxproj"
    project.write_text(
        project.read_text().replace("productRef = 0A000000000000000000000D", "productRef = " + "F" * 24)
    )
    (app / "App" / "PrivacyInfo.xcprivacy").unlink()
    failed = {each.what: each.detail for each in swift.prove(app, tmp_path) if each.outcome == "failed"}
    assert set(failed) == {"Swift, syntax only", "Xcode project, parsed", "privacy manifests, parsed"}
    assert "ModelApp.swift" in failed["Swift, syntax only"]
    assert "F" * 24 in failed["Xcode project, parsed"]
