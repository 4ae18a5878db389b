"""The measured networks: those of `examples/`, with the files that must be fetched."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_IMAGENET = ROOT / "examples" / "imagenet"
_FASHION = ROOT / "examples" / "fashion_mnist"
_SILERO = ROOT / "examples" / "silero_vad"


class MissingError(Exception):
    """A file that a benchmark needs is missing; the message contains the command that fetches it."""


@dataclass(frozen=True)
class Net:
    """A network of the examples."""

    title: str
    folder: Path
    """Folder with the `edgepack.toml` of the network."""
    needs: tuple[Path, ...]
    """Files and folders that must be fetched."""
    fetch: str
    """Command that fetches them, in the root of the checkout."""
    evaluation: str = ""
    """Evaluation samples; empty for those of the example."""

    def check(self) -> None:
        """Raise MissingError if a file has not been fetched."""
        absent = [path for path in self.needs if not path.exists()]
        if absent:
            raise MissingError(f"{self.title}: {absent[0]} is missing: run `{self.fetch}`")


def mobilenet() -> Net:
    """MobileNetV2 for ImageNet, with the images of the example."""
    return _imagenet("MobileNetV2", "mobilenet_v2")


def every() -> tuple[Net, ...]:
    """All networks; that for Fashion-MNIST is evaluated on the 10,000 test images of the data set."""
    return *imagenet(), _fashion(), _silero()


def imagenet() -> tuple[Net, ...]:
    """The networks for ImageNet, with the images of the example."""
    return (
        mobilenet(),
        _imagenet("EfficientNet-Lite0", "efficientnet_lite0"),
        _imagenet("SqueezeNet 1.1", "squeezenet1_1"),
    )


def _imagenet(title: str, name: str) -> Net:
    folder = _IMAGENET / name
    pictures = _IMAGENET / "pictures"
    needs = (folder / "weights.safetensors", pictures / "calib", pictures / "eval")
    return Net(title, folder, needs, "python examples/imagenet/fetch.py")


def _fashion() -> Net:
    cache: Path = runpy.run_path(str(_FASHION / "fashion.py"))["folder"]()
    whole = cache / "eval10k.npz"
    return Net(
        "Fashion-MNIST net",
        _FASHION,
        (whole,),
        "python examples/fashion_mnist/fetch.py",
        evaluation=str(whole),
    )


def _silero() -> Net:
    needs = (_SILERO / "weights.safetensors", _SILERO / "data")
    return Net("Silero VAD", _SILERO, needs, "python examples/silero_vad/fetch.py")
