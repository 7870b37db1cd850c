"""The same questions with an instrumentation that is given its provider, and nothing global."""

from __future__ import annotations

import importlib
import sys

import asks
from opentelemetry import trace
from support import say

from ajolo_fanout import install_from_config

fanout = install_from_config(set_global=False)
instrumentor = importlib.import_module(sys.argv[1]).OpenAIInstrumentor()
instrumentor.instrument(tracer_provider=fanout.provider)
asks.main()
with trace.get_tracer("program").start_as_current_span("of the global provider"):
    pass
say("global", type(trace.get_tracer_provider()).__name__)
