"""`ajolo-fanout schema`: the file's JSON Schema, for editors."""

from __future__ import annotations

import click

__all__ = ["schema"]


@click.command(
    epilog="""\b
Examples:
  ajolo-fanout schema > tracing.schema.json
  and on top of the tracing.toml beside it:
  #:schema tracing.schema.json

\b
Exit codes:
  0  here it is
  2  the command line is wrong
"""
)
def schema() -> None:
    """Print the JSON Schema of tracing.toml, for Taplo and the editors that use it.

    An editor then completes keys and explains them; `check` says what no schema can.
    """
    from ajolo_fanout.reference.schema import schema as text

    click.echo(text(), nl=False)
