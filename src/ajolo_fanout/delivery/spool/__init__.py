"""Batches on disk: what a backend couldn't take, kept through outages and crashes.

`Spool` is one (service.name, backend); `survey` looks into the whole folder; `renditions_of` makes a spooled
request sendable like any other.
"""

from ajolo_fanout.delivery.spool.listing import Holder, Listing, Survey, survey
from ajolo_fanout.delivery.spool.parts import renditions_of
from ajolo_fanout.delivery.spool.results import Answer, Batch, Fill, Lease, Put, Tally, Ticket
from ajolo_fanout.delivery.spool.spool import Spool
from ajolo_fanout.delivery.spool.store import LONGEST_PUT_OFF

__all__ = [
    "LONGEST_PUT_OFF",
    "Answer",
    "Batch",
    "Fill",
    "Holder",
    "Lease",
    "Listing",
    "Put",
    "Spool",
    "Survey",
    "Tally",
    "Ticket",
    "renditions_of",
    "survey",
]
