"""`python -m ajolo_fanout.reference [--check] [FOLDER]`: write the pages, or say which are stale."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ajolo_fanout.reference.pages import stale, write

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the pages.

    Returns:
        The exit code: 1 when `--check` found a stale page, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ajolo_fanout.reference",
        description="Write the reference pages that are made from the settings classes and the profiles.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page isn't fresh")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/reference"), metavar="FOLDER")
    options = parser.parse_args(arguments)
    found = stale(options.folder) if options.check else write(options.folder)
    for name in found:
        state = "is stale; run python -m ajolo_fanout.reference" if options.check else "written"
        sys.stdout.write(f"{options.folder / name}: {state}\n")
    return 1 if options.check and found else 0


if __name__ == "__main__":
    sys.exit(main())
