"""Run the model on pictures, sound, texts or tensors, replay its golden vectors, or time it."""

from __future__ import annotations

import argparse
import io
import itertools
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import camera, detections, runtime, sample, scores, selftest, text
from .contract import COMMAND, CONTRACT, DEVICE, NAME, THREADS
from .model import HERE, Model

_WARM_UP = 3
_KIND = "PICTURE" if sample.PICTURE else "SOUND" if sample.SOUND else "TEXT" if text.READS else "TENSOR"
_READ = {
    "PICTURE": "a picture that Pillow reads",
    "SOUND": "a .wav file, or samples in .npy or .npz",
    "TEXT": "a .txt file with a text on each line, or tokens in .npy or .npz",
    "TENSOR": "a .npy or .npz, made ready; inputs: ",
}


def main() -> int:
    """0: done, or all golden samples match; 1: one does not; 2: something cannot be read or loaded."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a label may not fit the terminal
    args = _arguments()
    try:
        model = Model(args.threads)
        print(f"{scores.printable(f'{NAME} on {DEVICE}')}: {model.about}", file=sys.stderr)
        code = _done(args, model)
        if args.monitor:
            model.monitor.write(args.monitor, model.about)
        return code
    except (
        runtime.RuntimeProblem,
        selftest.GoldenError,
        sample.SampleError,
        camera.CameraProblem,
        OSError,
    ) as problem:
        print(f"{COMMAND}: {problem}", file=sys.stderr)
        return 2


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description=__doc__,
        epilog="exit code: 0 done or all match, 1 a golden sample does not match, "
        "2 a file or the runtime is missing or cannot be read",
    )
    names = ", ".join(spec["name"] for spec in CONTRACT["inputs"]).replace("%", "%%")
    told = _READ[_KIND] + (names if _KIND == "TENSOR" else "")
    parser.add_argument("files", nargs="*", type=Path, metavar=_KIND, help=told)
    for flag, default, about in (
        ("--top", 5, "classes or boxes to print"),
        ("--threads", THREADS, "CPU threads"),
        ("--frames", None, "of the camera, at most"),
        ("--bench", None, "time N inferences of the first file given, or of a golden sample"),
    ):
        shown = f"{about} ({default})" if default else about
        parser.add_argument(flag, type=_positive, default=default, metavar="N", help=shown)
    if sample.PICTURE:
        cameras = "label what a camera sees, until Ctrl-C: pi (picamera2), or a number or path (OpenCV)"
        parser.add_argument("--camera", metavar="DEVICE", help=cameras)
    if text.READS:
        parser.add_argument("--text", action="append", metavar="TEXT", help="a text to run; repeat for more")
    parser.set_defaults(camera=None, text=[])
    parser.add_argument("--monitor", type=Path, metavar="FILE", help="write what was seen as JSON at the end")
    parser.add_argument("--selftest", action="store_true", help="replay the golden vectors")
    args = parser.parse_args()
    if not (args.files or args.text or args.selftest or args.bench or args.camera):
        more = "--camera DEVICE, " if sample.PICTURE else "--text TEXT, " if text.READS else ""
        parser.error(f"give a file to run, {more}--selftest or --bench N")
    return args


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def _done(args: argparse.Namespace, model: Model) -> int:
    """Do what the command line asks for; its exit code."""
    if args.selftest:
        return 0 if selftest.run(HERE, model.runtime, model.labels) else 1
    if args.bench:
        _bench(model, args.bench, args.files)
    elif args.camera:
        _watch(model, camera.frames(args.camera), args.frames, args.top)
    else:
        code = _run(model, args.files, args.top) if args.files else 0
        for given in args.text:
            _answer(model, scores.printable(given), sample.of_text(given), args.top)
        return code
    return 0


def _run(model: Model, paths: list[Path], top: int) -> int:
    """Run every file, print what comes out, and go on past those that cannot be read."""
    code = 0
    warm = False
    for path in paths:
        try:
            pieces = sample.read(path)
        except sample.SampleError as problem:
            print(f"{COMMAND}: {problem}", file=sys.stderr)
            code = 2
            continue
        for given in pieces:
            if not warm:
                model.warm_up(given)
                warm = True
            _answer(model, f"{path}{given.place}", given, top)
    return code


def _answer(model: Model, what: str, given: sample.Sample, top: int) -> None:
    """Run the model on a sample, and print what comes out."""
    answer = model.run(given)
    prepared = "" if math.isnan(given.milliseconds) else f" (and {given.milliseconds:.1f} ms to prepare)"
    print(f"{what}: {answer.seconds * 1e3:.2f} ms{prepared}")
    _print(model, answer.outputs, top, given.size)


def _watch(model: Model, frames: Iterator[NDArray[np.uint8]], count: int | None, top: int) -> None:
    """Run the model on each frame of a camera; of classes the best is printed."""
    assert sample.PICTURE is not None
    try:
        for number, frame in enumerate(itertools.islice(frames, count)):
            given = sample.of_picture(frame, sample.PICTURE)
            answer = model.run(given)
            print(f"frame {number}: {answer.seconds * 1e3:.2f} ms")
            _print(model, answer.outputs, top if detections.BOXES is not None else 1, given.size)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)


def _print(model: Model, outputs: list[NDArray[Any]], top: int, size: tuple[int, int] | None) -> None:
    """Say what came out, for a picture of `size` where there is one."""
    if detections.BOXES is not None and size is not None:
        for box, number, score in detections.found(outputs, size)[:top]:
            corners = ", ".join(f"{each:.1f}" for each in box)
            print(f"  {score:10.4f}  {scores.label(number, model.labels)}  [{corners}]")
        return
    for values, output in zip(outputs, CONTRACT["outputs"]):
        found = scores.activate(values, output["activation"])
        if output["kind"] == "classification":
            _print_classes(scores.top(found, top, output["threshold"]), model.labels)
        elif output["kind"] == "class":
            print(f"  {scores.label(int(found.ravel()[0]), model.labels)}")
        elif output["kind"] == "segmentation":
            _print_classes(scores.shares(found)[:top], model.labels)
        else:
            shown = np.array2string(found, precision=5, threshold=32, prefix="  ")
            print(f"  {output['name']} {list(found.shape)} {output['units']}".rstrip() + f":\n  {shown}")


def _print_classes(found: list[tuple[int, float]], labels: list[str]) -> None:
    for number, score in found:
        print(f"  {score:10.4f}  {scores.label(number, labels)}")


def _bench(model: Model, count: int, paths: list[Path]) -> None:
    """Time `count` inferences and print the percentiles of their milliseconds."""
    given = sample.read(paths[0])[0] if paths else sample.made_ready(selftest.samples(HERE)[0])
    model.warm_up(given, _WARM_UP)
    times = [model.run(given).seconds * 1e3 for _ in range(count)]
    low, middle, high, worst = np.percentile(times, [0, 50, 90, 99])
    print(
        f"{count} inferences after {_WARM_UP} to warm up, ms: least {low:.2f}, median {middle:.2f}, "
        f"90 % {high:.2f}, 99 % {worst:.2f}"
    )
