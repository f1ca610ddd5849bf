"""Handle events in this process: functions subscribe to events and depend on each other.

>>> from eventpub.processing import Processor, want
>>> @want("sold")
... def thank(processor, event):
...     print("Thank you for buying", event["noun"])
>>> processor = Processor()
>>> processor.register(thank)
>>> processor.process({"name": "sold", "noun": "tea"})
Thank you for buying tea
"""

from __future__ import annotations

from .declare import required_by, requires, want
from .errors import (
    EventException,
    HandlerLoadError,
    HandlerMissingError,
    HandlerRegisteredError,
    HandlerReturnError,
    IncompatibleRequirementsException,
    IncompatibleWantsError,
    ProcessingError,
    ProcessorReregisterException,
    RequirementLoopError,
    RequirementsError,
)
from .event import Event, Namespace, Proc
from .processor import Processor
from .stop import StopProcessing

__all__ = [  # noqa: RUF022, grouped by use
    # events
    "Event",
    "Namespace",
    "Proc",
    # handlers
    "want",
    "requires",
    "required_by",
    "StopProcessing",
    # calling them
    "Processor",
    # what can go wrong
    "ProcessingError",
    "HandlerLoadError",
    "HandlerMissingError",
    "HandlerRegisteredError",
    "HandlerReturnError",
    "IncompatibleWantsError",
    "RequirementLoopError",
    "RequirementsError",
    # the same, as EvProc calls them
    "EventException",
    "IncompatibleRequirementsException",
    "ProcessorReregisterException",
]
