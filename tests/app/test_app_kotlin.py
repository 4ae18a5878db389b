"""The Android app's library, compiled and run on the JVM: the reference's bits, whatever it is called."""

from __future__ import annotations

import ast
import random
import re
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from apps import cases, kotlin, kotlinc
from apps.cases import decoded

from edgepack import metrics
from edgepack.app import escaping, monitoring, render, template
from edgepack.contract import Contract, ImageInput, Output
from edgepack.contract.expected import Expected, Histogram
from edgepack.contract.preprocess import prepare
from edgepack.errors import EdgepackError

pytestmark = pytest.mark.skipif(bool(kotlinc.absent()), reason=f"Kotlin is not compiled: {kotlinc.absent()}")

NASTY = (*cases.NASTY, "\x00\x1b")


@dataclass(frozen=True)
class Built:
    """The library of a model whose every name is nasty, compiled."""

    tools: kotlinc.Tools
    app: Path
    out: Path

    def said(self, *lines: list[object]) -> str:
        return kotlin.driven(self.tools, self.app, self.out, list(lines))


@pytest.fixture(scope="module")
def tools(users_cache: None) -> kotlinc.Tools:
    try:
        return kotlinc.tools()
    except EdgepackError as cause:
        pytest.skip(f"Kotlin's compiler cannot be had: {cause}")


@pytest.fixture(scope="module")
def built(tools: kotlinc.Tools, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("kotlin")
    everything = " ".join(NASTY)
    contract = Contract(
        inputs=(ImageInput(kind="image", name=everything, size=(8, 8)),),
        outputs=(
            Output(kind="classification", name=f"out {everything}", labels=NASTY, activation="softmax"),
        ),
    )
    made = template.App(
        everything, everything, "net", kotlin.PACKAGE, "a'b $é☃.onnx", "onnx", "w8a8", 1, contract, 0.99,
        Expected(top_score=Histogram(edges=(0.3, 0.6)), input_mean=Histogram(edges=(75.0,))),
        {"onnxruntime": "1.0"},
    )  # fmt: skip
    template.render("android-kotlin", made, folder / "app")
    assets = folder / "app" / "model" / "src" / "main" / "assets"
    assets.mkdir()
    (assets / made.file).touch()
    (folder / "out").mkdir()
    assert kotlin.built(folder / "app", tools, folder / "out") == ""
    return Built(tools, folder / "app", folder / "out")


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


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_camera_frames_become_upright_rgb(built: Built, tmp_path: Path, rotation: int) -> None:
    wide, high = 21, 13
    half, rows = (wide + 1) // 2, (high + 1) // 2
    draw = np.random.default_rng(rotation)
    luma = draw.integers(0, 256, (high, wide), dtype=np.uint8)
    u, v = draw.integers(0, 256, (2, rows, half), dtype=np.uint8)
    (tmp_path / "nv21").write_bytes(luma.tobytes() + np.stack([v, u], axis=-1).tobytes())
    planes = [np.pad(each, ((0, 0), (0, 5))) for each in (luma, u, v)]
    (tmp_path / "yuv").write_bytes(b"".join(each.tobytes() for each in planes))
    built.said(
        ["nv21", tmp_path / "nv21", wide, high, rotation, tmp_path / "nv21.rgb"],
        ["yuv", tmp_path / "yuv", wide, high, rotation, tmp_path / "yuv.rgb"],
    )
    full = [np.repeat(np.repeat(each.astype(np.int64), 2, 0), 2, 1)[:high, :wide] for each in (u, v)]
    wanted = np.rot90(cases.full_range(luma.astype(np.int64), *full), -rotation // 90)
    for kind in ("nv21", "yuv"):
        assert (tmp_path / f"{kind}.rgb").read_bytes() == wanted.tobytes(), kind


def test_ten_thousand_labels_come_through_whatever_they_are_spelt_with(built: Built, tmp_path: Path) -> None:
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
    assert [int(number) for _, number, _ in found] == np.argsort(-wanted, kind="stable").tolist()
    for score, number, label in found:
        assert float(score) == pytest.approx(wanted[int(number)], rel=1e-12)
        assert label == f"label {number}"


def test_its_monitoring_is_read(built: Built, tmp_path: Path) -> None:
    built.said(["monitor", tmp_path / "m.json"])
    found = monitoring.read(tmp_path / "m.json")
    assert (found.count, found.failures, found.load_ms) == (3, 1, 12.5)
    assert (found.model, found.device) == (" ".join(NASTY), 'a "phone"')
    assert (found.top_score, found.input_mean) == ((1, 1, 1), (1, 2))
    assert found.latency_ms is not None
    assert found.latency_ms.p50 == 2.0
    assert found.preprocess_ms is not None
    assert found.preprocess_ms.p50 == 4.0


def test_any_text_is_a_literal(tools: kotlinc.Tools, tmp_path: Path) -> None:
    draw = random.Random(0)
    alphabet = "\"\\$'{}\n\r\t\0 ab☃🦙\u202eש\ud7ff\ufeff\u2028\U000e0001"
    texts = [*NASTY, *("".join(draw.choices(alphabet, k=draw.randrange(30))) for _ in range(500))]
    lines = "".join(f"    {escaping.kotlin(each)},\n" for each in texts)
    shown = 'text.map { it.code }.joinToString(" ")'
    code = f"val ALL = listOf(\n{lines})\n\nfun main() = ALL.forEach {{ text -> println({shown}) }}\n"
    (tmp_path / "Texts.kt").write_text(code, encoding="utf-8")
    assert tools.compiled([tmp_path / "Texts.kt"], (), tmp_path / "out") == ""
    path = ":".join(map(str, (*tools.libraries, tmp_path / "out")))
    said = kotlinc.java(["-cp", path, "TextsKt"]).stdout.split("\n")[:-1]
    assert said == [" ".join(map(str, memoryview(each.encode("utf-16-le")).cast("H"))) for each in texts]


def test_resources_link_whatever_the_app_is_called_and_what_is_missing_is_seen(built: Built) -> None:
    assert kotlin.linked(built.app, built.tools)[0] == "ok"
    strings = built.app / "app" / "src" / "main" / "res" / "values" / "strings.xml"
    text = strings.read_text()
    strings.write_text(text.replace('name="app_name"', 'name="other"'))
    outcome, said = kotlin.linked(built.app, built.tools)
    assert (outcome, "string/app_name" in said) == ("failed", True)
    assert kotlin.project(built.app).outcome == "failed"
    strings.write_text(text)


def test_a_warning_fails(tools: kotlinc.Tools, tmp_path: Path) -> None:
    (tmp_path / "Warned.kt").write_text("fun same(text: String) = text is String\n")
    assert "warnings found" in tools.compiled([tmp_path / "Warned.kt"], (), tmp_path / "out")


METHOD = re.compile(r"  public (?P<kind>.*?)(?P<returns>\S+) (?P<name>\w+)\((?P<parameters>[^)]*)\);")


def test_the_stubs_methods_of_android_are_as_android_publishes_them(tools: kotlinc.Tools) -> None:
    classes = sorted(
        name[: -len(".class")].replace("/", ".")
        for name in zipfile.ZipFile(tools.stubs).namelist()
        if re.match(r"android/.*\.class\Z", name)
        and not re.search(r"\$(Companion|DefaultImpls)|Kt\.class\Z", name)
    )
    line = ["javap", "-public", "-cp", str(tools.stubs), *classes]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    published, owner, checked, unknown = Published(tools.api), "", 0, []
    for line_ in said.splitlines():
        if found := re.match(r".*(?:class|interface) ([\w.$]+)[^(]*\{$", line_):
            owner = found[1]
        elif method := METHOD.match(line_):
            checked += 1
            if not published.has(owner, method):
                unknown.append(f"{owner}: {line_.strip()}")
    assert unknown == []
    assert checked > 20
    for wrong in (
        "void getPixels(int)",
        "int getPixel(java.lang.String, int)",
        "java.lang.String getWidth()",
        "static int getWidth()",
    ):
        method = METHOD.match(f"  public {wrong};")
        assert method
        assert not published.has("android.graphics.Bitmap", method), wrong


class Published:
    """Methods of Android's classes, from Python stubs that were made of them."""

    GIVEN: ClassVar = {
        "int": "java.jint",
        "long": "java.jlong",
        "boolean": "java.jboolean",
        "int[]": "JavaArrayJInt",
        "java.lang.Class<T>": "typing.Type",
    }
    RETURNED: ClassVar = {
        "int": "int",
        "long": "int",
        "boolean": "bool",
        "void": "None",
        "java.lang.String": "str",
    }

    def __init__(self, path: Path) -> None:
        self._files = zipfile.ZipFile(path)

    def has(self, owner: str, method: re.Match[str]) -> bool:
        """Whether a class has a method of this name, with these parameters and this result."""
        package, name = re.split(r"\.(?=[A-Z])", owner.replace("$", "."), maxsplit=1)
        first, *others = package.split(".")
        file = "/".join((f"{first}-stubs", *others, "__init__.pyi"))
        tree = ast.parse(self._files.read(file))
        classes = [each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)]
        return any(
            isinstance(each, ast.FunctionDef) and each.name == method["name"] and self._alike(each, method)
            for found in classes
            if found.name == name.split(".")[-1]
            for each in found.body
        )

    def _alike(self, published: ast.FunctionDef, method: re.Match[str]) -> bool:
        arguments = (*published.args.posonlyargs, *published.args.args)
        given = [each.annotation for each in arguments if each.arg not in ("self", "cls")]
        wanted = [each.strip() for each in method["parameters"].split(",") if each.strip()]
        static = any(ast.unparse(each) == "staticmethod" for each in published.decorator_list)
        returns = method["returns"]
        return (
            len(given) == len(wanted)
            and static == ("static" in method["kind"])
            and all(
                self._word(mine, self.GIVEN) in ast.unparse(told) for mine, told in zip(wanted, given) if told
            )
            and published.returns is not None
            and (returns == "T" or self._word(returns, self.RETURNED) in ast.unparse(published.returns))
        )

    def _word(self, mine: str, plain: dict[str, str]) -> str:
        return plain.get(mine, re.split(r"[.$]", mine)[-1])


def test_the_golden_picture_s_tensor_is_the_reference_s(built: Built, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    np.save(tmp_path / "picture.npy", pixels)
    built.said(["picture", tmp_path / "picture.npy", 1, tmp_path / "out"])
    image = ImageInput(kind="image", size=(8, 8))
    assert (tmp_path / "out").read_bytes() == prepare(pixels, image).tobytes()
