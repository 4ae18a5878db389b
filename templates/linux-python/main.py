"""Run the bundle's model on pictures or tensors, replay its golden vectors, or time it."""

from __future__ import annotations

import argparse
import io
import itertools
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import camera
import detections
import runtime
import sample
import scores
import selftest
from contract import CONTRACT, DEVICE, LABELS, MODEL, NAME, THREADS
from monitor import Monitor
from runtime import Runtime

HERE = Path(__file__).resolve().parent
_WARM_UP = 3
_INPUTS = [each["name"] for each in CONTRACT["inputs"]]
_OUTPUTS = [each["name"] for each in CONTRACT["outputs"]]


def main() -> int:
    """0: done, or all golden samples match; 1: one does not; 2: something cannot be read or loaded."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a label may not fit the terminal
    args = _arguments()
    try:
        return _App(args.threads).run(args)
    except (
        runtime.RuntimeProblem,
        selftest.GoldenError,
        sample.SampleError,
        OSError,
        camera.CameraProblem,
    ) as problem:
        print(f"{Path(__file__).name}: {problem}", file=sys.stderr)
        return 2


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="exit code: 0 done or all match, 1 a golden sample does not match, "
        "2 a file or the runtime is missing or cannot be read",
    )
    names = ", ".join(spec["name"] for spec in CONTRACT["inputs"]).replace("%", "%%")
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="PICTURE" if sample.PICTURE else "TENSOR",
        help="a picture that Pillow reads"
        if sample.PICTURE
        else f".npy or .npz, made ready; inputs: {names}",
    )
    for flag, default, text in (
        ("--top", 5, "classes or boxes to print"),
        ("--threads", THREADS, "CPU threads"),
        ("--frames", None, "of the camera, at most"),
        ("--bench", None, "time N inferences of the first file given, or of a golden sample"),
    ):
        shown = f"{text} ({default})" if default else text
        parser.add_argument(flag, type=_positive, default=default, metavar="N", help=shown)
    if sample.PICTURE:
        cameras = "label what a camera sees, until Ctrl-C: pi (picamera2), or a number or path (OpenCV)"
        parser.add_argument("--camera", metavar="DEVICE", help=cameras)
    parser.set_defaults(camera=None)
    parser.add_argument("--monitor", type=Path, metavar="FILE", help="write what was seen as JSON at the end")
    parser.add_argument("--selftest", action="store_true", help="replay the bundle's golden vectors")
    args = parser.parse_args()
    if not (args.files or args.selftest or args.bench or args.camera):
        parser.error(
            f"give a file to run, {'--camera DEVICE, ' if sample.PICTURE else ''}--selftest or --bench N"
        )
    return args


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


class _App:
    """The model with its labels, what it has seen, and the state that it carries from call to call."""

    def __init__(self, threads: int) -> None:
        self.monitor = Monitor()
        self.labels = scores.read_labels(HERE / LABELS)
        start = time.perf_counter()
        self.model: Runtime = runtime.load(HERE / MODEL, threads)
        self.monitor.load_ms = (time.perf_counter() - start) * 1e3
        self._state: dict[str, NDArray[Any]] = {}
        print(f"{scores.printable(f'{NAME} on {DEVICE}')}: {self.model.about}", file=sys.stderr)

    def run(self, args: argparse.Namespace) -> int:
        """Do what the command line asks for; its exit code."""
        code = 0
        if args.selftest:
            code = 0 if selftest.run(HERE, self.model, self.labels) else 1
        elif args.bench:
            self._bench(args.bench, args.files)
        elif args.camera:
            self._watch(camera.frames(args.camera), args.frames, args.top)
        else:
            code = self._run(args.files, args.top)
        if args.monitor:
            self.monitor.write(args.monitor, self.model.about)
        return code

    def infer(self, inputs: list[NDArray[Any]], mean: float) -> tuple[list[NDArray[Any]], float]:
        """The outputs, and the seconds that they took; recorded."""
        inputs = self._with_state(inputs)
        start = time.perf_counter()
        try:
            outputs = self.model.run(inputs)
        except Exception:
            self.monitor.failures += 1
            raise
        took = time.perf_counter() - start
        for each in CONTRACT["state"]:
            self._state[each["input"]] = outputs[_OUTPUTS.index(each["output"])]
        first = scores.activate(outputs[0], CONTRACT["outputs"][0]["activation"])
        self.monitor.record(took * 1e3, float(first.max(initial=-np.inf)), mean)
        return outputs, took

    def _with_state(self, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Inputs that are carried from call to call are those of the call before, whatever a file holds."""
        found = list(inputs)
        for each in CONTRACT["state"]:
            place = _INPUTS.index(each["input"])
            first = np.full_like(inputs[place], each["initial"])
            found[place] = self._state.get(each["input"], first)
        return found

    def _run(self, paths: list[Path], top: int) -> int:
        """Run every file, print what comes out, and go on past those that cannot be read."""
        code = 0
        warm = False
        for path in paths:
            start = time.perf_counter()
            try:
                given = sample.read(path)
            except sample.SampleError as problem:
                print(f"{Path(__file__).name}: {problem}", file=sys.stderr)
                code = 2
                continue
            reading = time.perf_counter() - start
            if not warm:
                self.model.run(given.inputs)  # the first run also allocates and tunes
                warm = True
            outputs, running = self.infer(given.inputs, given.mean)
            print(f"{path}: {running * 1e3:.2f} ms (and {reading * 1e3:.1f} ms to read and prepare)")
            self._print(outputs, top, given.size)
        return code

    def _watch(self, frames: Iterator[NDArray[np.uint8]], count: int | None, top: int) -> None:
        """Run the model on each frame of a camera; of classes the best is printed."""
        assert sample.PICTURE is not None
        try:
            for number, frame in enumerate(itertools.islice(frames, count)):
                given = sample.of_picture(frame, sample.PICTURE)
                outputs, running = self.infer(given.inputs, given.mean)
                print(f"frame {number}: {running * 1e3:.2f} ms")
                self._print(outputs, top if detections.BOXES is not None else 1, given.size)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)

    def _print(self, outputs: list[NDArray[Any]], top: int, size: tuple[int, int] | None) -> None:
        """Say what came out, for a picture of `size` where there is one."""
        if detections.BOXES is not None and size is not None:
            for box, number, score in detections.found(outputs, size)[:top]:
                corners = ", ".join(f"{each:.1f}" for each in box)
                print(f"  {score:10.4f}  {scores.label(number, self.labels)}  [{corners}]")
            return
        for values, output in zip(outputs, CONTRACT["outputs"]):
            found = scores.activate(values, output["activation"])
            if output["kind"] == "classification":
                self._print_classes(scores.top(found, top, output["threshold"]))
            elif output["kind"] == "segmentation":
                self._print_classes(scores.shares(found)[:top])
            else:
                shown = np.array2string(found, precision=5, threshold=32, prefix="  ")
                print(f"  {output['name']} {list(found.shape)} {output['units']}".rstrip() + f":\n  {shown}")

    def _print_classes(self, found: list[tuple[int, float]]) -> None:
        for number, score in found:
            print(f"  {score:10.4f}  {scores.label(number, self.labels)}")

    def _bench(self, count: int, paths: list[Path]) -> None:
        """Time `count` inferences and print the percentiles of their milliseconds."""
        given = sample.read(paths[0]) if paths else sample.Sample(selftest.samples(HERE)[0], math.nan, None)
        for _ in range(_WARM_UP):
            self.model.run(given.inputs)
        times = [self.infer(given.inputs, given.mean)[1] * 1e3 for _ in range(count)]
        low, middle, high, worst = np.percentile(times, [0, 50, 90, 99])
        print(
            f"{count} inferences after {_WARM_UP} to warm up, ms: least {low:.2f}, median {middle:.2f}, "
            f"90 % {high:.2f}, 99 % {worst:.2f}"
        )


if __name__ == "__main__":
    sys.exit(main())
