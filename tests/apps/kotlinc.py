"""Kotlin's compiler and what Android apps are compiled against, fetched once by version and sha256 and kept.

Android, AndroidX and PyTorch's lite interpreter are stubs (`kotlin/stubs/`), written after the published API
(developer.android.com; `api/current.txt` of each library in AOSP; PyTorch's `android/` folder): nothing that
compiles them can be had here.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from edgepack.emulator.arm import cache, fetch
from edgepack.emulator.arm.entry import DONE
from edgepack.emulator.arm.pins import Debian
from edgepack.errors import EdgepackError

STUBS = Path(__file__).resolve().parent / "kotlin" / "stubs"
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
    parts += [path.read_text(encoding="utf-8") for path in sorted(STUBS.iterdir())]
    name = f"kotlin-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"
    return Tools(cache.create(name, _fill, lambda text: print(text, file=sys.stderr)))


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
    if problem := made.compiled(sorted(STUBS.glob("*.kt")), (), made.stubs):
        raise EdgepackError(f"the stubs of Android's classes do not compile: {problem}")
    (draft / DONE).write_text(json.dumps({"kotlin": KOTLIN[1]}), encoding="utf-8")


def _member(package: bytes, name: str) -> io.BytesIO:
    with tarfile.open(fileobj=io.BytesIO(package)) as packed:
        file = packed.extractfile(name)
        assert file is not None, name
        return io.BytesIO(file.read())
