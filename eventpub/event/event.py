"""Something that happened, how long it took, and the files it left: a name, times, data, attachments.

Every attribute that is set becomes data: it can be read by its name, and is in `as_dict`, which is what
`serialize_json_event` writes. An event can be put on an `EventQueue`, sent by an `EventManager`, emitted
through a `RoutingBackend` and handled by a `Processor`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import copy, deepcopy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventpub import processing
from eventpub.errors import AttachmentError, EventClosedError, EventSerializationError
from eventpub.pipeline import name_of
from eventpub.serialization.unwritable import describe_type

from . import attachment, file, times
from .file import Dump

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

_TIMES = ("begin_time", "end_time")  # written as dates unless another formatter is set
_NO_DATA = ("ctxt", "proc")  # which processing.Event has
_set_slot = object.__setattr__  # of an event takes attributes for data


def unique_id() -> str:
    """Return a new random id: a UUID of version 4."""
    digits = os.urandom(16).hex()  # Python 3.10 loads subprocess with uuid
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


class Event(processing.Event):
    """An event, filled in while it happens. As a context manager it closes itself at the end of the block.

    >>> with Event("build", project="tea") as event:
    ...     event.result = "passed"
    >>> event.as_dict()["result"]
    'passed'

    A copy is closed if the original is, and shares `ctxt`; a pickle has neither `ctxt` nor `proc`, since these
    belong to their process. Data named like a method (`load`) appears in `as_dict`, but the attribute is the
    method.

    Args:
        name: what happened.
        uid: a unique id; made by `unique_id` by default.
        ctxt: for handlers of a `Processor`; not data.
        data: everything else about the event, under any name but `proc`; more attributes can be set later.

    Attributes:
        uid: as given, or made.
        begin_time: when it was created, in seconds since the epoch.
        end_time: when it was closed, likewise; None before.
    """

    __slots__ = ("__weakref__", "_attachments", "_closed", "_data", "_formatters")

    if TYPE_CHECKING:
        uid: str
        begin_time: float
        end_time: float | None
        _attachments: dict[str, tuple[str, str]]
        _closed: bool
        _data: dict[str, Any]
        _formatters: dict[str, Callable[[str, Any], Mapping[str, Any]]]

    def __init__(self, name: str, uid: str | None = None, *, ctxt: object = None, **data: Any) -> None:
        if "proc" in data:
            raise TypeError(
                f"Event {name!r}: proc is not data; set event.proc.NAMESPACE.ATTRIBUTE once it is made"
            )
        uid = unique_id() if uid is None else uid
        own = {"name": name, "uid": uid, "begin_time": times.read_clock(), "end_time": None}
        self._set(own | data if data else own, {}, {}, is_closed=False, ctxt=ctxt)

    @property
    def name(self) -> str:
        """What happened."""
        return self._data["name"]  # type: ignore[no-any-return]

    # --- data --------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _NO_DATA:
            _set_slot(self, name, value)
            return
        if self._closed:
            self._insist_on_open()
        self._data[name] = value

    def __getattr__(self, name: str) -> Any:
        if name not in Event.__slots__ and name in self._data:  # a slot is empty while it is being copied
            return self._data[name]
        raise AttributeError(f"this event has no {name!r}")

    def set_formatter(self, key: str, fun: Callable[[str, Any], Mapping[str, Any]]) -> None:
        """Write a piece of data in `as_dict` as the mapping that `fun(key, value)` returns: any number of keys.

        Raises:
            EventClosedError: the event was closed.
        """
        self._insist_on_open()
        self._formatters[key] = fun

    def format_date(self, key: str, value: float | str | None) -> dict[str, Any]:
        """Return `{key: date}`: the formatter of the event's own times, usable for other timestamps too.

        Args:
            key: the piece of data.
            value: seconds since the epoch, which become ISO 8601 in UTC; anything else is returned as it is.
        """
        return {key: times.write_date(value)}

    def as_dict(self) -> dict[str, Any]:
        """Return the data as the formatters write it, in a new dict.

        Raises:
            EventSerializationError: a formatter returned something other than a mapping.
        """
        if self._formatters:
            return self._formatted()
        document = self._data.copy()
        for key in _TIMES:
            if key in document:
                document.update(self.format_date(key, document[key]))
        return document

    # --- attachments -------------------------------------------------------------------------------------

    def attach_file(self, path: str | os.PathLike[str], name: str = "log") -> None:
        """Attach a file, which is read when the event is sent; some handlers refuse large ones.

        Args:
            path: the file; it must stay there until the event is sent.
            name: its name in the event and for receivers: a plain file name, "log" by default.

        Raises:
            AttachmentError: the event has an attachment of that name, the name is not a plain file name, or the
                file cannot be read.
            EventClosedError: the event was closed.
        """
        self._insist_on_open()
        absolute = str(Path(path).absolute())
        if name in self._attachments:
            reason = f"the event has {self._attachments[name][0]} under that name; give another name"
            raise AttachmentError(name, absolute, reason)
        self._attachments[name] = (absolute, attachment.digest_of(name, absolute))

    def get_attachments(self) -> dict[str, tuple[str, str]]:
        """Return `{name: (absolute path, SHA-1 when attached)}`."""
        return dict(self._attachments)

    # --- the end, and what comes after -------------------------------------------------------------------

    def close(self) -> None:
        """Set `end_time` and refuse changes from now on; does nothing if the event is closed already."""
        if not self._closed:
            self._data["end_time"] = times.read_clock()
            _set_slot(self, "_closed", True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def dump(self, event_dir: str | os.PathLike[str]) -> str:
        """Write the event to a new file and return its path; attachments stay where they are.

        Args:
            event_dir: the folder; created if missing.

        Raises:
            EventSerializationError: JSON has no form for a value.
            OSError: the file cannot be written.
        """
        dump = Dump(self.name, self.uid, self.as_dict(), self._attachments, self._closed)
        path = Path(event_dir, f"{file.fit_for_a_name(str(self.uid))}-{unique_id()}.json")
        file.write_whole(path, dump.to_json())
        return str(path)

    @classmethod
    def load(cls, json_filename: str | os.PathLike[str]) -> Self:
        """Return the event that `dump` wrote, with the same `as_dict`, times, attachments, name and id.

        Values that JSON cannot express come back as what `serialize_json_event` wrote for them. Formatters were
        applied by `dump` and are not restored.

        Raises:
            EventFileError: the file cannot be read, or is not such a file.
        """
        dump = file.read_dump(Path(json_filename))
        own = {"name": dump.name, "uid": dump.uid}
        formatters = {
            key: partial(_as_dumped, {key: dump.data[key]} if key in dump.data else {})
            for key, value in own.items()
            if key not in dump.data or dump.data[key] != value
        }
        event = cls._made({**dump.data, **own}, formatters, dump.attachments, is_closed=dump.is_closed)
        for key in _TIMES:
            if isinstance(text := dump.data.get(key), str):
                moment = times.read_date(text)
                if event.format_date(key, moment) == {key: text}:
                    event._data[key] = moment  # noqa: SLF001, our own
        return event

    # --- copies, pickles ---------------------------------------------------------------------------------

    def __copy__(self) -> Self:
        state = self._data.copy(), self._formatters.copy(), self._attachments.copy()
        event = self._made(*state, is_closed=self._closed, ctxt=self.ctxt)
        _set_slot(event, "_proc", self.proc)
        return event

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        event = memo[id(self)] = copy(self)  # before its data, which may contain the event itself
        _set_slot(event, "_data", deepcopy(event._data, memo))  # noqa: SLF001, our own
        _set_slot(event, "_proc", deepcopy(event.proc, memo))
        return event

    def __reduce__(self) -> tuple[Any, ...]:
        state = self._data.copy(), self._formatters.copy(), self._attachments.copy(), self._closed
        return _unpickle_event, (type(self), *state)

    def __repr__(self) -> str:  # without data: it can be anything, and a repr ends up in logs
        return f"<{type(self).__name__} {self.name!r} {self.uid}, {'closed' if self._closed else 'open'}>"

    def _formatted(self) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for key, value in self._data.copy().items():  # another thread may be setting attributes
            formatter = self._formatters.get(key) or (self.format_date if key in _TIMES else None)
            if formatter is None:
                document[key] = value
            else:
                written: Any = formatter(key, value)
                if not isinstance(written, Mapping):
                    reason = f"what the formatter of event {name_of(self)!r} returned; return a mapping"
                    raise EventSerializationError(key, describe_type(written), reason)
                document.update(written)
        return document

    @classmethod
    def _made(cls, *state: Any, is_closed: bool, ctxt: object = None) -> Self:
        event = cls.__new__(cls)
        event._set(*state, is_closed=is_closed, ctxt=ctxt)  # noqa: SLF001, our own
        return event

    def _set(
        self,
        data: dict[str, Any],
        formatters: dict[str, Callable[[str, Any], Mapping[str, Any]]],
        attachments: dict[str, tuple[str, str]],
        *,
        is_closed: bool,
        ctxt: object,
    ) -> None:
        super().__init__(ctxt)
        _set_slot(self, "_data", data)
        _set_slot(self, "_formatters", formatters)
        _set_slot(self, "_attachments", attachments)
        _set_slot(self, "_closed", is_closed)

    def _insist_on_open(self) -> None:
        if self._closed:
            raise EventClosedError(name_of(self), str(self.uid))


def _unpickle_event(cls: type[Event], *state: Any) -> Event:
    *contents, is_closed = state
    return cls._made(*contents, is_closed=is_closed)


def _as_dumped(written: Mapping[str, Any], _key: str, _value: Any) -> Mapping[str, Any]:
    return written  # written by the formatter that the event had
