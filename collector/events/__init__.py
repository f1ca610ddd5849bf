"""Stage 7: plain, signed body -> the rows of its events, or which of them are wrong and why.

Version 2 events are structs of the class that `[schemas]` names for the key that signed them, checked field by
field; version 2j events are JSON objects of any kind, and so are version 2 events of a key whose schema is
`any`. An event that is not valid refuses the whole batch, by its index, so that the sender can take it out and
send the others. Nothing of a valid event is dropped: fields that the schema does not know are stored, too.
"""

from __future__ import annotations

from .form import Limits
from .reader import EventReader, Events
from .schemas import Schemas

__all__ = ["EventReader", "Events", "Limits", "Schemas"]
