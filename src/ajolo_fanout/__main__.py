"""`python -m ajolo_fanout` is `ajolo-fanout`."""

from __future__ import annotations

from ajolo_fanout.cli.main import main

if __name__ == "__main__":
    main(program="python -m ajolo_fanout")
