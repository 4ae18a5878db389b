"""The command.

`python -m benchmarks [build | formats | peers | device | startup] [--runs N] [--nets NET …] [--json FILE]
[--markdown]`
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import comparison, device, formats, peers, startup, tables
from benchmarks.measure import FailedError
from benchmarks.nets import MissingError, every, imagenet
from benchmarks.tables import Table
from edgepack.errors import INTERRUPTED, EdgepackError

_MISSING, _FAILED = 2, 1


def main() -> int:
    """Measure, print, and answer with the exit code: 2 where data has to be fetched first."""
    arguments = _arguments()
    try:
        document, found = _measured(arguments)
    except MissingError as cause:
        _say(str(cause))
        return _MISSING
    except (FailedError, EdgepackError) as cause:
        _say(str(cause))
        return _FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    tables.show(found, markdown=arguments.markdown)
    if arguments.json:
        arguments.json.write_text(document + "\n", encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=("build", "formats", "peers", "device", "startup"),
        default="build",
        help="build: time and memory, against plain scripts; formats: every format on the examples' "
        "networks; peers: the libraries' own compression beside edgepack's; device: instructions on the "
        "emulated cores; startup: quick commands, compared with importing typer and pydantic",
    )
    parser.add_argument("--runs", type=_count, default=3, metavar="N", help="of build and device; default 3")
    known = [net.folder.name for net in every()]
    parser.add_argument(
        "--nets", nargs="+", choices=known, default=known, metavar="NET",
        help=f"of peers (those of ImageNet) and device: {' '.join(known)}",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a number of 1 or more")
    return int(text)


def _measured(arguments: argparse.Namespace) -> tuple[str, list[Table]]:
    """The figures as JSON and as tables."""
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
    turns = comparison.run(arguments.runs, _say)
    return comparison.to_json(turns), comparison.tables(turns)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
