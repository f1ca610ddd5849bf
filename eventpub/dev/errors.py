"""What keeps `eventpub dev` from running."""

from __future__ import annotations

from eventpub.errors import EventPubError


class ProgramError(EventPubError):
    """A program did not start, or ended by itself.

    Attributes:
        name: of the program.
        what: happened.
        log: the last lines of its log.
    """

    def __init__(self, name: str, what: str, log: str) -> None:
        super().__init__(name, what, log)
        self.name = name
        self.what = what
        self.log = log

    def __str__(self) -> str:
        lines = "\n  | ".join(["", *self.log.splitlines()]) if self.log else ""
        return f"the {self.name} {self.what}; its log says{lines}" if lines else f"the {self.name} {self.what}"


class ClaimedError(EventPubError):
    """Another process uses what `eventpub dev` needs for itself.

    Attributes:
        what: is used.
        who: uses it.
        remedy: the argument that names something else.
    """

    def __init__(self, what: str, who: str, remedy: str) -> None:
        super().__init__(what, who, remedy)
        self.what = what
        self.who = who
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}: {self.who} uses it already; end that, or give {self.remedy}"
