"""Asks each backend, from its name to a span that arrived; says what is wrong and what to do next."""
