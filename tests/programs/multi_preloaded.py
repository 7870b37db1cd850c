"""What a forkserver imports before it forks: the installation."""

from __future__ import annotations

from ajolo_fanout import install_from_config

install_from_config()
