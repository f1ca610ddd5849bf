"""What code that emits typed events gets from its types: checked by `make lint`, never run."""

from __future__ import annotations

from decimal import Decimal

from typing_extensions import assert_type

from eventpub.tracking import MemoryBackend, Tracker, event


@event("shop.tea.buy")
class TeaBought:
    kind: str
    price: Decimal
    note: str = ""


tracker = Tracker({"memory": MemoryBackend()})
bought = TeaBought("oolong", Decimal("4.50"), note="gift")
assert_type(bought.price, Decimal)
tracker.emit(bought)
tracker.emit(TeaBought(kind="oolong", price=Decimal(4)), on_commit=True)

# what must not pass
TeaBought("oolong", 4.5)  # type: ignore[arg-type]
TeaBought("oolong")  # type: ignore[call-arg]
TeaBought("oolong", Decimal(4), colour="red")  # type: ignore[call-arg]
bought.kind = "assam"  # type: ignore[misc]
tracker.emit(object())  # type: ignore[arg-type]
