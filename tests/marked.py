"""One marked secret, every form that it may take, and the promise that none of them is in a text."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Iterator

SECRET = "zq7MARKEDzq7/+ %secret"  # with characters that each encoding treats in its own way
USER = "pk-lf-public"


def forms(secret: str) -> Iterator[str]:
    """Every form of a secret that this project makes, or that a server might echo."""
    for text in (secret, f"{USER}:{secret}", f"Bearer {secret}"):
        raw = text.encode()
        yield text
        yield base64.b64encode(raw).decode()
        yield base64.urlsafe_b64encode(raw).decode()
        yield urllib.parse.quote(text, safe="")
        yield urllib.parse.quote_plus(text)
        yield json.dumps(text)[1:-1]
        yield raw.hex()


def assert_clean(text: str) -> None:
    """No form of the secret is in `text`, nor its marked core."""
    assert "MARKED" not in text.replace("${MARKED}", "")
    for form in forms(SECRET):
        assert form not in text
