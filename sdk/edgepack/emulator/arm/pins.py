"""The packages of the ARM emulator, pinned by version and sha256."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Literal

Runtime = Literal["onnxruntime", "executorch"]


@dataclass(frozen=True)
class Debian:
    """A package of Debian 12 (bookworm), architecture amd64 or all."""

    name: str
    version: str
    sha256: str


QEMU = (
    Debian(
        "qemu-user",
        "1:7.2+dfsg-7+deb12u18+b3",
        "02a7d6a2675a12dd7fdd474924295552470c0c933e0b543975887f493a84219f",
    ),
    Debian("libcapstone4", "4.0.2-5", "41277f0388184f6e3b9fc02eda3184afbc999314b25b77ed75e8049428bdfe5e"),
    Debian("liburing2", "2.3-3", "c23077e3640e6cb4b819c134b3f41d5cf21b3edac099654b1b4142c3069a39a3"),
    Debian("libnuma1", "2.0.16-1", "639e1ab6bd66ead40db8a22c332d7199679fa22db261cac34444eb8eb4c17dda"),
    Debian(
        "libglib2.0-0",
        "2.74.6-2+deb12u9",
        "7ff85197685d89e150e342b29a59aab1beee400050ba7da73de81cd999ffee5a",
    ),
)
"""QEMU: linked dynamically, because the static build has no plugins; 7.2, because later versions count
differently."""

SYSROOT = (
    Debian(
        "libc6-arm64-cross",
        "2.36-8cross1",
        "91936cbbee75771c360ed16513f6e734a25ca5517fe7c3e13dfd7835d7553186",
    ),
    Debian(
        "libgcc-s1-arm64-cross",
        "12.2.0-14cross1",
        "af1e686fc6a416228222e7bfb68317dd2fa2685236301ae29141fc6108a66cac",
    ),
    Debian(
        "libstdc++6-arm64-cross",
        "12.2.0-14cross1",
        "9cba984b64d0cf11698978fc5e0fe93c7441d29b9f42f70f1c6c734cc9e2ea41",
    ),
)
"""The libraries of aarch64 Linux that the runtimes link to."""

COMPILER = (
    Debian(
        "binutils-aarch64-linux-gnu",
        "2.40-2",
        "3d6f64a7a4ed6d73719f8fa2e85fd896f58ff7f211a6683942ba93de690aaa66",
    ),
    Debian(
        "gcc-12-aarch64-linux-gnu",
        "12.2.0-14cross1",
        "43747bbcd46a4062e66e855090b8ed9c2e06a93ae5a69fb304beebbc8c36d11f",
    ),
    Debian(
        "g++-12-aarch64-linux-gnu",
        "12.2.0-14cross1",
        "3693e31fe2b42fcbdd92fef3e5578e91dd86af30e3d2c5fff3f9821e34a1cb91",
    ),
    Debian(
        "libgcc-12-dev-arm64-cross",
        "12.2.0-14cross1",
        "ff1324e262bae2c3aad685c2ed52bd531ab0a2a337a0fe35c3b720947d55b2ba",
    ),
    Debian(
        "libstdc++-12-dev-arm64-cross",
        "12.2.0-14cross1",
        "942b5710c6b9792578dfa64f7a4633bc0d3cb205b56ded11297e240ff824f5da",
    ),
    Debian(
        "libc6-dev-arm64-cross",
        "2.36-8cross1",
        "5e4cf6abf0e89e89c4b3006bb8b7dc47aa831df25d94df9134929b8b968cacb4",
    ),
    Debian(
        "linux-libc-dev-arm64-cross",
        "6.1.4-1cross1",
        "66457f015d16b7d372db6591cff38db0da928362ff2ea1fa75491e28f6904d81",
    ),
    Debian("libisl23", "0.25-1.1", "ebff0b2f8b220c74224197523019366e97ee4770d464bebc48e4865114e4da0e"),
    Debian("libmpc3", "1.3.1-1", "d7f79544790e44f9b0c8cb9034a18c58d37f8702a15f32539050718679e52f80"),
    Debian("libmpfr6", "4.2.0-1", "37b7a2b4e78890b6a074777f27b96c84f58e81558ba08410c2b6c0ca4a4ad77b"),
    Debian("libjansson4", "2.14-2", "3fc9742f9f1a37bcb9931df6074b4d1483419ef832ad5349f47323e75fc27864"),
)
"""Cross compiler for hosts without one; removed when the runners are built."""

ZIG = ("0.17.1", "ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54")
"""Compiler for hosts without a Debian archive: version and sha256 of ziglang on PyPI for x86_64 Linux."""

WHEELS: dict[Runtime, dict[str, str]] = {
    "onnxruntime": {
        "1.31.0": "37c7dfe398550afdf9670a29315dbb88e49d8afc473ffaf1f410376efbb9c80a",
        "1.31.1": "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
        "1.32.0": "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
    },
    "executorch": {
        "1.5.1": "8ee02348a3ea80ddf770822911ebf78da616b73afce0fbaaa79f23311c88c66a",
    },
}
"""sha256 of the aarch64 wheel for CPython 3.11 (its C++ libraries need no Python), by version.

The table has every release that edgepack's extras allow, the newest last: of ExecuTorch that is one.
"""

RUNTIMES: dict[str, Runtime] = {"onnx": "onnxruntime", "executorch": "executorch"}
"""The runtime that runs files of a format on ARM, by the name of the format."""


def unknown(runtime: Runtime) -> str:
    """Why the emulator cannot run the installed version of a runtime; empty where it can."""
    version, known = _installed(runtime), list(WHEELS[runtime])
    if not version or version in known:
        return ""
    return (
        f"the ARM emulator has {runtime} {', '.join(known)}, but not the installed version {version}: "
        f"pip install '{runtime}=={known[-1]}'"
    )


def versions() -> dict[Runtime, str]:
    """The versions to emulate: those that are installed and that apps use; else the newest in `WHEELS`."""
    return {
        runtime: installed if (installed := _installed(runtime)) in known else list(known)[-1]
        for runtime, known in WHEELS.items()
    }


def _installed(runtime: str) -> str:
    try:
        return metadata.version(runtime)
    except metadata.PackageNotFoundError:
        return ""
