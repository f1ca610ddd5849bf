"""Why an event leaves the ledger without being delivered: two closed sets, which everything else imports."""

from __future__ import annotations

import enum


class DropReason(enum.Enum):
    """Why events were lost; there is no other way."""

    SPOOL_FULL_OLDEST = "spool_full_oldest"  # spool.when_full = drop_oldest
    SPOOL_FULL_NEWEST = "spool_full_newest"  # spool.when_full = drop_newest
    DAMAGED = "damaged"  # records that cannot be read; a copy of the file is kept
    MISSING = "missing"  # the file was removed
    DEAD_LETTERS_FULL = "dead_letters_full"  # dead_letters.max_size
    REPORT = "report"  # a loss report, for one of these reasons; what it tells stands in the next one


class DeadReason(enum.Enum):
    """Why events are dead, in one word; a letter written by another version may have others."""

    MALFORMED = "malformed"  # no JSON object, as the sidecar itself found
    REJECTED = "rejected"  # refused by the collector, alone or by its place in a batch
    TOO_LARGE = "too_large"  # likewise, alone
    REPORT = "report"  # a loss report that the collector refused for either reason: no report tells of it
