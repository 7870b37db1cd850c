"""What several benchmarks want: a handle with nothing behind it, and how much memory a process has."""

from __future__ import annotations

import resource
from pathlib import Path


class NoHandle:
    """Nobody to flush."""

    def flush(self, timeout: float | None = None) -> bool:  # noqa: ARG002
        """Nothing to do."""
        return True

    def shutdown(self, timeout: float | None = None) -> bool:  # noqa: ARG002
        """Nothing to do."""
        return True


def resident() -> int:
    """Bytes of memory that this process has now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
