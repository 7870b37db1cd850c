"""Config, profiles and environment become one frozen plan, in which every value knows where it came from."""

from __future__ import annotations

__all__: list[str] = []
