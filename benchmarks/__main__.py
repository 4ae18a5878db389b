"""Measure edgepack: the cost of a build, and the quality and speed of its files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import comparison, device, formats, peers, startup, tables
from benchmarks.measure import FailedError
from benchmarks.nets import MissingError, every, imagenet
from benchmarks.tables import Table
from benchmarks.zoo import page, result
from benchmarks.zoo import run as zoo
from edgepack.errors import INTERRUPTED, EdgepackError

_MISSING, _FAILED = 2, 1


def main() -> int:
    """Measure and print. Returns the exit code: 1 for failures, 2 if data must be fetched first.

    A build of the zoo that ends by a traceback, a crash or its time limit is a failure.
    """
    arguments = _arguments()
    try:
        document, results = _measured(arguments)
    except MissingError as cause:
        _say(str(cause))
        return _MISSING
    except (FailedError, EdgepackError) as cause:
        _say(str(cause))
        return _FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    tables.show(results, markdown=arguments.markdown)
    if arguments.json:
        arguments.json.write_text(document + "\n", encoding="utf-8")
    return _FAILED if any(table.failed for table in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=("build", "formats", "peers", "device", "startup", "zoo"),
        default="build",
        help="build (default): time and memory of a build, compared with plain scripts; formats: size, "
        "accuracy and speed of every format and scheme; peers: compression by the libraries themselves, "
        "compared with edgepack; device: instructions on emulated ARM cores; startup: quick commands, "
        "compared with importing typer and pydantic; zoo: many architectures in every format, float and int8",
    )
    parser.add_argument(
        "--runs", type=_count, default=3, metavar="N", help="repetitions, for build and device (default: 3)"
    )
    known = [net.folder.name for net in every()]
    parser.add_argument(
        "--nets", nargs="+", choices=known, default=known, metavar="NET",
        help=f"networks for device and (those of ImageNet) peers, of: {', '.join(known)}",
    )  # fmt: skip
    parser.add_argument(
        "--only", nargs="+", default=["*"], metavar="PATTERN",
        help="architectures of the zoo, such as timm/*vit*; sample is one of each kind (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--results", type=Path, default=Path("zoo"), metavar="DIR",
        help="folder that keeps the zoo's results: what it has is not built again (default: zoo)",
    )  # fmt: skip
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="builds of the zoo side by side")
    parser.add_argument("--page", type=Path, metavar="FILE", help="also write the zoo as a page of the docs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all values as JSON to FILE")
    parser.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be an integer of at least 1")
    return int(text)


def _measured(arguments: argparse.Namespace) -> tuple[str, list[Table]]:
    """The results as JSON and as tables."""
    if arguments.what == "formats":
        results = formats.run(_say)
        return formats.to_json(results), formats.tables(results)
    if arguments.what == "peers":
        nets = [net for net in imagenet() if net.folder.name in arguments.nets]
        found = peers.run(nets, _say)
        return peers.to_json(found), peers.tables(found)
    if arguments.what == "device":
        rows = device.run([net for net in every() if net.folder.name in arguments.nets], arguments.runs, _say)
        return device.to_json(rows), device.tables(rows)
    if arguments.what == "startup":
        runs = startup.run(_say)
        return startup.to_json(runs), startup.tables(runs)
    if arguments.what == "zoo":
        return _zoo(arguments)
    turns = comparison.run(arguments.runs, _say)
    return comparison.to_json(turns), comparison.tables(turns)


def _zoo(arguments: argparse.Namespace) -> tuple[str, list[Table]]:
    results = zoo.run(zoo.chosen(arguments.only), arguments.results, arguments.jobs, _say)
    if arguments.page:
        arguments.page.write_text(page.written(results), encoding="utf-8")
    return result.RESULTS.dump_json(results, indent=2).decode(), [page.summary(results)]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
