"""Proof of the Android apps: compiled by Kotlin's own compiler against the runtimes' own classes, their unit
tests and their pre- and post-processing run on the JVM, resources linked."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import tomllib

from edgepack import bundle, formats
from edgepack.arrays import Array
from edgepack.contract.preprocess import read_image
from edgepack.errors import EdgepackError
from edgepack.silence import captured

from . import Outcome, Row, kotlinc, of
from .cases import PICTURES, Case, called, differing, pictures
from .kotlinc import Tools

OWN = Path(__file__).resolve().parent / "kotlin"
PACKAGE = "com.example.app"
"""That of the driver."""
_TESTS = ("GoldenTest", "PostprocessorTest", "MonitorTest")


def built(app: Path, made: Tools, out: Path) -> str:
    """Compile the library, then the app and the tests against it; what went wrong, or empty."""
    (file,) = (each for each in (app / "model/src/main/assets").iterdir() if each.name != "labels.txt")
    format_name = {".onnx": "onnx", ".ort": "onnx", ".pte": "executorch", ".ptl": "torchscript"}[file.suffix]
    library = made.compiled(
        sorted((app / "model" / "src" / "main").rglob("*.kt")),
        (made.stubs, made.runtime(format_name)),
        out / "library",
    )
    if library:
        return library
    resources = out / "R.kt"
    resources.write_text(_resources(app), encoding="utf-8")
    parts = ("app/src/main", "model/src/shared", "model/src/test", "model/src/androidTest")
    sources = [path for part in parts for path in sorted((app / part).rglob("*.kt"))]
    return made.compiled([*sources, resources, OWN / "Driver.kt"], (made.stubs, out / "library"), out / "app")


def _resources(app: Path) -> str:
    """The class of the app's texts, as the Android build makes it."""
    names = [
        each.get("name", "")
        for each in ElementTree.parse(app / "app/src/main/res/values/strings.xml").getroot()
    ]
    numbers = "\n".join(f"        const val {name}: Int = {number}" for number, name in enumerate(names))
    return f"package {PACKAGE}\n\nobject R {{\n    object string {{\n{numbers}\n    }}\n}}\n"


def path_of(made: Tools, app: Path, out: Path) -> str:
    """The class path on which a built app's tests and the driver run."""
    places = (*made.libraries, made.stubs, out / "library", out / "app", app / "model" / "src" / "golden")
    return os.pathsep.join(map(str, places))


def driven(made: Tools, app: Path, out: Path, lines: list[list[object]]) -> str:
    """What the driver said to lines of words."""
    text = "".join("\t".join(map(str, words)) + "\n" for words in lines)
    encoding = ("-Dstdout.encoding=UTF-8", "-Dfile.encoding=UTF-8")
    ended = kotlinc.java([*encoding, "-cp", path_of(made, app, out), f"{PACKAGE}.check.DriverKt"], text)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def prove(app: Path, folder: Path) -> list[Row]:
    """What came of a rendered app, whose bundle lies in `folder`."""
    rows = [project(app)]
    if problem := kotlinc.absent():
        return [*rows, Row("compile", "skipped", problem)]
    try:
        made = kotlinc.tools()
    except EdgepackError as cause:
        return [*rows, Row("compile", "skipped", str(cause))]
    rows.append(Row("resources, linked by aapt2", *linked(app, made)))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        if problem := built(app, made, out):
            return [*rows, Row("compile, warnings as errors", "failed", problem)]
        rows.append(Row("compile, warnings as errors", "ok", f"Kotlin {kotlinc.KOTLIN[1]}, language 2.2"))
        return [*rows, _tested(app, made, out), *_driven(app, folder, made, out)]


def _tested(app: Path, made: Tools, out: Path) -> Row:
    names = [f"{PACKAGE}.model.{name}" for name in _TESTS]
    ended = kotlinc.java(["-cp", path_of(made, app, out), "org.junit.runner.JUnitCore", *names])
    told = [each for each in ended.stdout.splitlines() if each.startswith(("OK", "Tests run", "1) "))]
    return Row("unit tests, on the JVM", "failed" if ended.returncode else "ok", "; ".join(told))


def _driven(app: Path, folder: Path, made: Tools, out: Path) -> list[Row]:
    """Pre-processing on the JVM against the reference; labels of real pictures, by pre-processing there, the
    model file in Python, and post-processing there again."""
    image = bundle.open_bundle(folder)[2].image
    assert image is not None
    odd, real = pictures(out), sorted(PICTURES.glob("*.png"))
    every = [Case(path, image) for path in (*odd, *real)]
    lines: list[list[object]] = []
    for number, case in enumerate(every):
        np.save(out / f"{number}.npy", read_image(case.picture, image.channels))
        lines.append(["picture", out / f"{number}.npy", 1, out / f"{number}.bin"])
    driven(made, app, out, lines)
    fine = f"{len(every)} pictures, the reference's bits"
    rows = [of("pre-processing, on the JVM", differing(every, out), fine)]
    tensors = [np.fromfile(out / f"{len(odd) + n}.bin", every[0].wanted.dtype) for n in range(len(real))]
    labels = _labels(app, folder, made, out, [each.reshape(every[0].wanted.shape) for each in tensors])
    lost = [path.stem for path, label in zip(real, labels, strict=True) if path.stem != called(label)]
    fine = "all as their file names say (the model ran in Python)"
    return [*rows, of("labels of real pictures", lost, fine)]


def _labels(app: Path, folder: Path, made: Tools, out: Path, tensors: list[Array]) -> list[str]:
    """The best label of each tensor: the model file runs in Python, its outputs are read on the JVM."""
    report, _, contract = bundle.open_bundle(folder)
    assets = app / "model" / "src" / "main" / "assets"
    artifact = next(each for each in report.artifacts if (assets / Path(each.file).name).exists())
    lines: list[list[object]] = []
    with (out / "runtime.log").open("wb") as log, captured(log):
        run = formats.load(artifact.format).load(folder / artifact.file)
        for number, tensor in enumerate(tensors):
            np.save(out / f"answer{number}.npy", run((tensor,))[0])
            lines.append(["classes", out / f"answer{number}.npy", assets / "labels.txt"])
    said = driven(made, app, out, lines).splitlines()
    return [line.split("\t")[2] for line in said[:: len(contract.labels)]]


def project(app: Path) -> Row:
    """Whether Gradle's files and the XML parse, and whether what they name is there."""
    problems = []
    catalog = tomllib.loads((app / "gradle/libs.versions.toml").read_text(encoding="utf-8"))
    known = {f"libs.{name.replace('-', '.')}" for name in catalog["libraries"]}
    known |= {f"libs.plugins.{name.replace('-', '.')}" for name in catalog["plugins"]}
    for path in sorted(app.rglob("*.gradle.kts")):
        text = path.read_text(encoding="utf-8")
        if not parses(text):
            problems.append(f"{path.relative_to(app)} does not parse")
        named = set(re.findall(r"\blibs(?:\.\w+)+", text))
        problems += [
            f"{path.relative_to(app)}: {each} is not in the catalog" for each in sorted(named - known)
        ]
    for entry in (*catalog["libraries"].values(), *catalog["plugins"].values()):
        reference = entry.get("version", {}).get("ref")
        if reference and reference not in catalog["versions"]:
            problems.append(f"the catalog has no version {reference}")
    problems += _dangling(app / "app" / "src" / "main")
    return of("project files, parsed", problems, "Gradle's files, manifests, resources and their references")


def parses(text: str) -> bool:
    """Whether Kotlin can be parsed; no compiler of Gradle's scripts can be had here."""
    import tree_sitter_kotlin
    from tree_sitter import Language, Parser

    parser = Parser(Language(tree_sitter_kotlin.language()))
    return not parser.parse(text.encode()).root_node.has_error


def _dangling(main: Path) -> list[str]:
    """Resources that are named but not there, and texts that nothing names."""
    there = {f"@string/{name}" for name in _named(main / "res/values/strings.xml")}
    there |= {f"@color/{name}" for name in _named(main / "res/values/colors.xml")}
    there |= {f"@{path.parent.name.split('-')[0]}/{path.stem}" for path in (main / "res").rglob("*.xml")}
    used = set()
    for path in main.rglob("*.xml"):
        for element in ElementTree.parse(path).iter():
            used |= {value for value in element.attrib.values() if re.match(r"@(?!android:)\w+/", value)}
    code = "".join(path.read_text(encoding="utf-8") for path in (main / "kotlin").rglob("*.kt"))
    texts = {f"@string/{name}" for name in _named(main / "res/values/strings.xml")}
    unused = texts - used - {f"@string/{name}" for name in re.findall(r"\bR\.string\.(\w+)", code)}
    return [f"{each} is nowhere" for each in sorted(used - there)] + [
        f"{each} is not used" for each in sorted(unused)
    ]


def _named(path: Path) -> list[str]:
    return [each.get("name", "") for each in ElementTree.parse(path).getroot()]


def linked(app: Path, made: Tools) -> tuple[Outcome, str]:
    """Whether resources and manifest hold together with Android's own: the outcome, and what was said."""
    root = made.folder / "debian"
    aapt = root / "usr/lib/android-sdk/build-tools/debian/aapt2"
    frame = root / "usr/share/android-framework-res/framework-res.apk"
    libraries = os.pathsep.join(sorted({str(path.parent) for path in root.rglob("*.so*")}))
    main = app / "app" / "src" / "main"
    with tempfile.TemporaryDirectory() as scratch:
        flat, manifest = Path(scratch) / "res.zip", Path(scratch) / "AndroidManifest.xml"
        text = (main / "AndroidManifest.xml").read_text(encoding="utf-8")
        # the Android build puts the package in, from Gradle's namespace
        manifest.write_text(text.replace("<manifest", f'<manifest package="{PACKAGE}"', 1), encoding="utf-8")
        link = [aapt, "link", "-I", frame, "--manifest", manifest, "--min-sdk-version", "28"]
        for line in (
            [aapt, "compile", "--dir", main / "res", "-o", flat],
            [*link, "-o", Path(scratch) / "app.apk", flat],
        ):
            env = {**os.environ, "LD_LIBRARY_PATH": libraries}
            words = [str(word) for word in line]
            ended = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
            if ended.returncode:
                return "failed", ended.stderr.strip().splitlines()[0]
    return "ok", "against Android 10's own"
