"""What ends an attempt without an answer; `trouble` explains it, and all else that Python raises."""

from __future__ import annotations

from eventpub.errors import EventPubError


class NoAnswerError(EventPubError):
    """Raised where an attempt cannot come to an answer any more; its batch is kept and sent again.

    `kind` is a short fixed word (`trouble` has the list), `reason` what went wrong and how to fix it, if an
    operator must.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason

    def __str__(self) -> str:
        return self.reason
