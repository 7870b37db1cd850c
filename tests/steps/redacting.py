"""What the tests of redaction share: a key, values to find, and redaction of a span's attributes alone."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from tests.steps.spans import make_span, without_notes

from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.redaction import RedactionSettings, redact
from ajolo_fanout.steps.redaction.expression import Expression
from ajolo_fanout.values import Secret

KEY = Secret("0123456789abcdef")
CARD = "4111 1111 1111 1111"
ADDRESS = "alice@example.com"


def own(**patterns: str) -> dict[str, Expression]:
    return {name: Expression.parse(text) for name, text in patterns.items()}


def redacted(settings: RedactionSettings, **attributes: Any) -> dict[str, Any]:
    """The attributes after redaction, without notes; double underscores stand for dots."""
    span = make_span(attributes={name.replace("__", "."): value for name, value in attributes.items()})
    draft = Draft(span)
    redact(draft, settings)
    return without_notes(draft.attributes)


def hashed(text: str) -> str:
    return hmac.new(KEY.reveal().encode(), text.encode(), hashlib.sha256).hexdigest()
