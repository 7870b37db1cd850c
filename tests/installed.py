"""What the OpenTelemetry that is installed can do, where it differs within the range that is supported."""

from __future__ import annotations

import pytest
from opentelemetry.attributes import BoundedAttributes

__all__ = ["ANY_VALUE", "needs_any_value"]

ANY_VALUE = dict(BoundedAttributes(attributes={"m": {"k": None}})) == {"m": {"k": None}}
"""Whether the SDK keeps maps, None and arrays of several types on a span, as it does since 1.45.0."""

needs_any_value = pytest.mark.skipif(
    not ANY_VALUE,
    reason="this SDK leaves maps, None and arrays of several types out of a span before anyone sees it; "
    "pip install 'opentelemetry-sdk>=1.45'",
)
