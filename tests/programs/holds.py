"""Leases what a program's spool holds for one backend, and holds on to it until it is killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ajolo_fanout.config.spool import SpoolSettings
from ajolo_fanout.delivery.spool import Spool
from ajolo_fanout.values import Size

one = Spool(SpoolSettings(directory=Path(sys.argv[1]), max_bytes=Size(10**7)), "my-agent", "tempo")
assert one.lease().batches
print("held", flush=True)
time.sleep(600)
