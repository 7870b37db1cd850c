"""What is known of each kind of backend, and where a backend's requests go."""

from __future__ import annotations

__all__: list[str] = []
