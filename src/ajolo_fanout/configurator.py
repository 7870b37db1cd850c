"""The way in without code: `OTEL_PYTHON_CONFIGURATOR=ajolo_fanout opentelemetry-instrument python app.py`.

`opentelemetry-instrument` has one configurator set the SDK up before the program's first line, then puts the
instrumentations on. It takes the first entry point of `opentelemetry_configurator` where nobody names one, so
that this package is asked wherever it is merely installed; then it hands on to the one that would have been
asked without it. A program that should run runs: nothing is raised here for a file that is absent or wrong.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from ajolo_fanout.install import install
from ajolo_fanout.plan.environment import CONFIGURATOR, OUR_CONFIGURATOR, is_wished

__all__ = ["Configurator"]

_log = logging.getLogger("ajolo_fanout.install")

_GROUP = "opentelemetry_configurator"
_OTHER_SIGNALS = ("OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER")


class Configurator:
    """What the entry point names; `opentelemetry-instrument` makes one and calls `configure()` once."""

    def configure(self, **options: Any) -> None:
        """Install from the file, or hand on to the next configurator where nobody asked for this one.

        Args:
            options: What `opentelemetry-instrument` says of itself; for the next configurator.
        """
        if os.environ.get(CONFIGURATOR, "") != OUR_CONFIGURATOR:
            _hand_on(options)
            return
        install(None, os.environ, set_global=True, on_error="warn")
        for name in _OTHER_SIGNALS:
            if is_wished(name, os.environ) and os.environ[name] != "none":
                _log.warning("%s is set, but %s=%s sets up traces only", name, CONFIGURATOR, OUR_CONFIGURATOR)


def _hand_on(options: Mapping[str, Any]) -> None:
    following = next((one for one in entry_points(group=_GROUP) if one.name != OUR_CONFIGURATOR), None)
    if following is not None:
        following.load()().configure(**options)
