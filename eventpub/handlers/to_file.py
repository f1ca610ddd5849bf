"""`file`: each event becomes a JSON file in a folder, its attachments a folder beside it.

`NAME-UID-ID.json` is the event, `NAME-UID-ID/log` its attachment `log`; UID is
left out for events without one, ID is new at each time. The JSON file is written last and gets its name when it
is complete, so its attachments are always there too.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventpub.event.file import write_whole
from eventpub.settings import ini

from .configured import ConfiguredHandler
from .content import attachments_of, json_of, stem_of

if TYPE_CHECKING:
    import os
    from pathlib import Path


@dataclass(frozen=True, init=False)
class FileHandler(ConfiguredHandler):
    """Writes events to a folder.

    Args:
        folder: created if missing.
        log_dir: e3-core's name for it.
    """

    folder: Path = ini.setting("folder", ini.path())

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, *, log_dir: str | os.PathLike[str] | None = None
    ) -> None:
        given = folder if log_dir is None else log_dir
        if given is None:
            raise TypeError("folder is missing")
        object.__setattr__(self, "folder", given)
        self.__post_init__()

    def send_event(self, event: Any) -> bool:
        """Write an event; leave nothing behind on an error."""
        content, stem = json_of(event), stem_of(event)
        copies = self.folder / stem
        try:
            for name, path in attachments_of(event):
                copies.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copies / name)
            write_whole(self.folder / f"{stem}.json", content)
        except BaseException:
            shutil.rmtree(copies, ignore_errors=True)
            raise
        return True
