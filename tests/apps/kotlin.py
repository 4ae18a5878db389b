"""Proof of the Android apps: compiled by Kotlin's own compiler against the runtimes' own classes, their unit
tests and their pre- and post-processing run on the JVM.

Android, AndroidX and PyTorch's lite interpreter are stubs (`kotlin/stubs/`), written after the published API
(developer.android.com; `api/current.txt` of each library in AOSP; PyTorch's `android/` folder): nothing that
compiles them can be had here.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from xml.etree import ElementTree

import tomllib
from tests.apps import Outcome, Row
from tests.apps.cases import pictures

from edgepack import bundle, formats
from edgepack.emulator.arm import cache, fetch
from edgepack.emulator.arm.pins import Debian
from edgepack.errors import EdgepackError

ROOT = Path(__file__).resolve().parent.parent.parent
PICTURES = ROOT / "examples" / "fashion_mnist" / "pictures"
OWN = Path(__file__).resolve().parent / "kotlin"
PACKAGE = "com.example.app"
"""That of the driver."""
KOTLIN = ("kotlin-compiler", "2.4.20", "c23dab400d7ce5ea8b6c909947c0ca5454189e4bb1108695b5f464500e5e950f")
RUNTIMES = {
    "onnx": (
        "com.github.asus4.onnxruntime",
        "0.4.9",
        "e59788788818fdde1b2e522e766a21ba0f7d8391de55737abf81e32cc801785d",
    ),
    "executorch": (
        "react-native-executorch",
        "0.9.3",
        "70a20a865b82f47ac46c82711d93c2038cf99eccbb9b287494219063f2217622",
    ),
}
"""Packages of npm that hold the classes of upstream's packages for Android, by format."""
API = (
    "chaquopy-stubs-android",
    "36.20260406",
    "5e18511ccb7ae519d8c4643408cf16262fa5f20eb1d1a7e97cfe28de16e12008",
)
"""All signatures of Android's own classes, as Python stubs."""
JUNIT = (
    Debian("junit4", "4.13.2-3", "2f516bef5fa0f714da4f8b95c367c00aea64159c099c5157579fb95823dbcc56"),
    Debian("libhamcrest-java", "2.2-1", "a3e84b0462e4bd75bfcd34dd46c9a5db6b9e7174da2d120339f4dc89aab90a56"),
)
AAPT = (
    Debian("aapt", "1:10.0.0+r36-10", "a4790dd07923a45ba17982d257abbce3f8050e8b30b0952545255502a5d1f505"),
    Debian(
        "android-framework-res",
        "1:10.0.0+r36-10",
        "267dad38b2e01b2705bd106023cfb5e6410175ebe35c60f3186eef521248bc6b",
    ),
    Debian(
        "android-libandroidfw",
        "1:10.0.0+r36-10",
        "26add03f0edf12da9d710b9be2bf0ec867f583d490135d99b9789bbbfe1bab4e",
    ),
    Debian(
        "android-libbacktrace",
        "1:29.0.6-28",
        "78733043d8e8f5906eb969a18c3178c1898f50d3684de23398a3eeb7ba7ea122",
    ),
    Debian(
        "android-libbase", "1:29.0.6-28", "c651582c9beb229b6a4581eef5d03796293aa2da3b602eafc5427b198060819f"
    ),
    Debian(
        "android-libcutils", "1:29.0.6-28", "12ac0a99beb683269d77af09bf80ddd7b8c428fda442c05070ea3ff50429718c"
    ),
    Debian(
        "android-liblog", "1:29.0.6-28", "d495761ec2dc87070f6ac75c771d221d05e2be387cbaeab7e7c7fcd740ce4ce2"
    ),
    Debian(
        "android-libunwind",
        "10.0.0+r36-4",
        "84ac9ad777f376315fd5f6ca607479930e013afc465d869045f98d5ead0127f3",
    ),
    Debian(
        "android-libutils", "1:29.0.6-28", "c9554365cd0d20ac22138195963b2b790e45fc3edade3626a05311a9cae5cf36"
    ),
    Debian(
        "android-libziparchive",
        "1:29.0.6-28",
        "e6d674143b948017a96740f449547799127feba75109875446c89e0e05a3e29d",
    ),
    Debian(
        "libprotobuf-lite32",
        "3.21.12-3+deb12u1",
        "441812aa574e1baa4435a9b62c34a39e0fc4177994ccfb35fab5a03ef6ef1e8d",
    ),
    Debian(
        "p7zip-full",
        "16.02+really26.02+dfsg-0+deb12u1",
        "b81a1722f23d4cd56ae611b5bb46604c51f6110e55bded6e36e7cafd79599d00",
    ),
)
"""The linker of resources, with its libraries, and Android's own resources (API 29)."""
_LANGUAGE = ("-jvm-target", "17", "-language-version", "2.2", "-Xsuppress-version-warnings", "-Werror")
_TESTS = ("GoldenTest", "PostprocessorTest", "MonitorTest")


@dataclass(frozen=True)
class Tools:
    """The compiler and what apps are compiled against, on disk."""

    folder: Path

    @property
    def api(self) -> Path:
        """A zip of Python stubs of Android's classes."""
        return self.folder / "api.whl"

    @property
    def stubs(self) -> Path:
        return self.folder / "stubs.jar"

    def runtime(self, format_name: str) -> Path:
        """The classes of a format's runtime; of PyTorch's, stubs."""
        return self.folder / f"{format_name}.jar" if format_name in RUNTIMES else self.stubs

    @property
    def libraries(self) -> tuple[Path, ...]:
        """What the app's own build would fetch besides: coroutines, kotlin.test, JUnit."""
        names = ("kotlin-stdlib", "kotlinx-coroutines-core-jvm", "kotlin-test", "kotlin-test-junit")
        java = self.folder / "debian" / "usr" / "share" / "java"
        return (
            *(self.folder / "kotlinc" / "lib" / f"{name}.jar" for name in names),
            java / "junit4.jar",
            java / "hamcrest-2.2.jar",
        )

    def compiled(self, sources: list[Path], against: tuple[Path, ...], out: Path) -> str:
        """Compile sources with warnings as errors; what went wrong, or empty."""
        path = os.pathsep.join(map(str, (*self.libraries, *against)))
        jar = self.folder / "kotlinc" / "lib" / "kotlin-compiler.jar"
        line = ["-cp", jar, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib", *_LANGUAGE]
        ended = java([*line, "-cp", path, "-d", out, *sources])
        said = [each for each in ended.stderr.splitlines() if "error:" in each]
        return (said or ended.stderr.splitlines() or ["no word"])[0] if ended.returncode else ""


def java(words: list[object], text: str = "") -> CompletedProcess[str]:
    line = ["java", "-Xmx1g", *map(str, words)]
    # in bytes: as text, Python would change the line ends
    ended = subprocess.run(line, input=text.encode(), capture_output=True, check=False)
    return CompletedProcess(line, ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def absent() -> str:
    """Why nothing can be compiled here; empty where it can."""
    return "" if shutil.which("java") else "java is not installed (17 or newer)"


def tools() -> Tools:
    """Fetched and made ready once, then kept. Raises EdgepackError where something cannot be had."""
    parts = [repr((KOTLIN, RUNTIMES, API, JUNIT, AAPT, _LANGUAGE))]
    parts += [path.read_text(encoding="utf-8") for path in sorted((OWN / "stubs").iterdir())]
    name = f"kotlin-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"
    return Tools(cache.made(name, _fill, lambda text: print(text, file=sys.stderr)))


def _fill(draft: Path) -> None:
    print(
        "fetching Kotlin's compiler and the runtimes' classes (300 MB, of which 150 are kept)",
        file=sys.stderr,
    )
    with tarfile.open(fileobj=io.BytesIO(fetch.npm(*KOTLIN))) as packed:
        packed.extractall(draft, filter="data")
    (draft / "package").rename(draft / "kotlinc")
    with _member(fetch.npm(*RUNTIMES["onnx"]), "package/Plugins/Android/onnxruntime.aar") as aar:
        (draft / "onnx.jar").write_bytes(zipfile.ZipFile(aar).read("classes.jar"))
    with _member(fetch.npm(*RUNTIMES["executorch"]), "package/android/libs/classes.jar") as classes:
        (draft / "executorch.jar").write_bytes(classes.read())
    wheel = fetch.pypi(*API, ("--only-binary=:all:",), draft / "wheels")
    wheel.rename(draft / "api.whl")
    fetch.debian((*JUNIT, *AAPT), draft / "debian", lambda text: print(text, file=sys.stderr))
    made = Tools(draft)
    if problem := made.compiled(sorted((OWN / "stubs").glob("*.kt")), (), made.stubs):
        raise EdgepackError(f"the stubs of Android's classes do not compile: {problem}")
    (draft / cache.DONE).write_text(json.dumps({"kotlin": KOTLIN[1]}), encoding="utf-8")


def _member(package: bytes, name: str) -> io.BytesIO:
    with tarfile.open(fileobj=io.BytesIO(package)) as packed:
        file = packed.extractfile(name)
        assert file is not None, name
        return io.BytesIO(file.read())


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
    ended = java(
        [
            "-Dstdout.encoding=UTF-8",
            "-Dfile.encoding=UTF-8",
            "-cp",
            path_of(made, app, out),
            f"{PACKAGE}.check.DriverKt",
        ],
        text,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def prove(app: Path, folder: Path) -> list[Row]:
    """What came of a rendered app, whose bundle lies in `folder`."""
    rows = [project(app)]
    if problem := absent():
        return [*rows, Row("compile", "skipped", problem)]
    try:
        made = tools()
    except EdgepackError as cause:
        return [*rows, Row("compile", "skipped", str(cause))]
    rows.append(Row("resources, linked by aapt2", *linked(app, made)))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        if problem := built(app, made, out):
            return [*rows, Row("compile, warnings as errors", "failed", problem)]
        rows.append(Row("compile, warnings as errors", "ok", f"Kotlin {KOTLIN[1]}, language 2.2"))
        return [*rows, _tested(app, made, out), *_driven(app, folder, made, out)]


def _tested(app: Path, made: Tools, out: Path) -> Row:
    names = [f"{PACKAGE}.model.{name}" for name in _TESTS]
    ended = java(["-cp", path_of(made, app, out), "org.junit.runner.JUnitCore", *names])
    told = [each for each in ended.stdout.splitlines() if each.startswith(("OK", "Tests run", "1) "))]
    return Row("unit tests, on the JVM", "failed" if ended.returncode else "ok", "; ".join(told))


def _driven(app: Path, folder: Path, made: Tools, out: Path) -> list[Row]:
    """Pre-processing against the reference; labels of real pictures, by pre-processing on the JVM, the model
    file in Python, and post-processing on the JVM again."""
    import numpy as np

    from edgepack.preprocess import prepare, read_picture

    report, _, contract = bundle.open_bundle(folder)
    image = contract.image
    assert image is not None
    odd, real = pictures(out), sorted(PICTURES.glob("*.png"))
    lines: list[list[object]] = []
    for number, path in enumerate((*odd, *real)):
        np.save(out / f"{number}.npy", read_picture(path, image.channels))
        lines.append(["picture", out / f"{number}.npy", 1, out / f"{number}.bin"])
    driven(made, app, out, lines)
    wanted = [prepare(read_picture(path, image.channels), image) for path in (*odd, *real)]
    wrong = [
        path.name
        for number, path in enumerate((*odd, *real))
        if (out / f"{number}.bin").read_bytes() != wanted[number].tobytes()
    ]
    told = f"wrong: {', '.join(wrong)}" if wrong else f"{len(wanted)} pictures, the reference's bits"
    rows = [Row("pre-processing, on the JVM", "failed" if wrong else "ok", told)]
    assets = app / "model/src/main/assets"
    artifact = next(each for each in report.artifacts if (assets / Path(each.file).name).exists())
    run = formats.load(artifact.format).load(folder / artifact.file)
    asked: list[list[object]] = []
    for number in range(len(odd), len(odd) + len(real)):
        tensor = np.frombuffer((out / f"{number}.bin").read_bytes(), wanted[number].dtype).copy()
        (first, *_) = run((tensor.reshape(wanted[number].shape),))
        np.save(out / f"answer{number}.npy", first)
        asked.append(["classes", out / f"answer{number}.npy", assets / "labels.txt"])
    said = driven(made, app, out, asked).splitlines()
    best = [said[n * len(contract.labels)].split("\t")[2] for n in range(len(real))]
    names = [each.lower().replace(" ", "-").replace("/", "-") for each in best]
    lost = [path.stem for path, name in zip(real, names, strict=True) if path.stem != name]
    told = f"wrong: {', '.join(lost)}" if lost else "all as their file names say (the model ran in Python)"
    return [*rows, Row("labels of real pictures", "failed" if lost else "ok", told)]


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
    told = "; ".join(problems) or "Gradle's files, manifests, resources and their references"
    return Row("project files, parsed", "failed" if problems else "ok", told)


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
