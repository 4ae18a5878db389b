"""Run the bundle's model on pictures or tensors, replay its golden vectors, or time it."""

from __future__ import annotations

import argparse
import io
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import runtime
import sample
import scores
import selftest
from contract import CONTRACT, MODEL, THREADS, TITLE
from runtime import Runtime

HERE = Path(__file__).resolve().parent
_WARM_UP = 3


def main() -> int:
    """0: done, or all golden samples match; 1: one does not; 2: something cannot be read or loaded."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a label may not fit the terminal
    args = _arguments()
    try:
        model = runtime.load(HERE / MODEL, args.threads)
        print(f"{scores.printable(TITLE)}: {model.about}", file=sys.stderr)
        if args.selftest:
            return 0 if selftest.run(HERE, model) else 1
        if args.bench:
            _bench(model, args.bench, args.files)
            return 0
        return _run(model, args.files, args.top)
    except (runtime.RuntimeProblem, selftest.GoldenError, sample.SampleError) as problem:
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
        ("--top", 5, "classes to print"),
        ("--threads", THREADS, "CPU threads"),
        ("--bench", None, "time N inferences of the first file given, or of a golden sample"),
    ):
        shown = f"{text} ({default})" if default else text
        parser.add_argument(flag, type=_positive, default=default, metavar="N", help=shown)
    parser.add_argument("--selftest", action="store_true", help="replay the bundle's golden vectors")
    args = parser.parse_args()
    if not (args.files or args.selftest or args.bench):
        parser.error("give a file to run, --selftest or --bench N")
    return args


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def _run(model: Runtime, paths: list[Path], top: int) -> int:
    """Run every file, print what comes out, and go on past those that cannot be read."""
    code = 0
    warm = False
    for path in paths:
        start = time.perf_counter()
        try:
            inputs = sample.read(path)
        except sample.SampleError as problem:
            print(f"{Path(__file__).name}: {problem}", file=sys.stderr)
            code = 2
            continue
        reading = time.perf_counter() - start
        if not warm:
            model.run(inputs)  # the first run also allocates and tunes
            warm = True
        start = time.perf_counter()
        outputs = model.run(inputs)
        running = time.perf_counter() - start
        print(f"{path}: {running * 1e3:.2f} ms (and {reading * 1e3:.1f} ms to read and prepare)")
        _print(outputs, top)
    return code


def _print(outputs: list[NDArray[Any]], top: int) -> None:
    for values, output in zip(outputs, CONTRACT["outputs"]):
        found = scores.activate(values, output["activation"])
        if output["kind"] == "classification":
            for number, score in scores.top(found, top):
                print(f"  {score:10.4f}  {scores.label(number, output)}")
        else:
            shown = np.array2string(found, precision=5, threshold=32, prefix="  ")
            print(f"  {output['name']} {list(found.shape)}:\n  {shown}")


def _bench(model: Runtime, count: int, paths: list[Path]) -> None:
    """Time `count` inferences and print the percentiles of their milliseconds."""
    inputs = sample.read(paths[0]) if paths else selftest.samples(HERE)[0]
    times = []
    for _ in range(_WARM_UP + count):
        start = time.perf_counter()
        model.run(inputs)
        times.append((time.perf_counter() - start) * 1e3)
    low, middle, high, worst = np.percentile(times[_WARM_UP:], [0, 50, 90, 99])
    print(
        f"{count} inferences after {_WARM_UP} to warm up, ms: least {low:.2f}, median {middle:.2f}, "
        f"90 % {high:.2f}, 99 % {worst:.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
