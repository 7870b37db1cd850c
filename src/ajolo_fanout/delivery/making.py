"""Makes the renditions that the router left to a backend's own thread: a user's own step is part of them.

Such a step may raise, leave by `sys.exit()`, or never come back. The first two cost that span, here alone;
the last costs this backend its thread, while its queue fills up and the gate counts what it refuses.
"""

from __future__ import annotations

from collections.abc import Sequence

from ajolo_fanout.delivery.account import GateAccount
from ajolo_fanout.delivery.books import Books
from ajolo_fanout.health.say import raised
from ajolo_fanout.otlp.rendition import Deferred, Rendition

__all__ = ["make_all"]


def make_all(books: Books, renditions: Sequence[Rendition]) -> Sequence[Rendition]:
    """The renditions of a batch, made; without those whose making failed, which are lost as `error`.

    Returns:
        `renditions` itself where none had to be made.
    """
    if not any(isinstance(one, Deferred) for one in renditions):
        return renditions
    made: list[Rendition] = []
    for one in renditions:
        if not isinstance(one, Deferred):
            made.append(one)
            continue
        try:
            rendition = one.make()
        except BaseException as error:  # isolation, SystemExit included: this is a thread of ours
            if GateAccount(books, "queue").settle([one], 1, "error"):
                message = f"a step failed with {raised(error)}: the span is lost here"
                books.ledger.noted(message)
                books.tell("error", message, 1)
        else:
            books.gate.resize("queue", rendition.size - one.size)
            made.append(rendition)
    return made
