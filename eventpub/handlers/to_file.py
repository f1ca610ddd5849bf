"""`file`: each event becomes a JSON file in a folder, its attachments a folder beside it.

`NAME-ID.json` is the event, `NAME-ID/log` its attachment `log`. The JSON file is written last and gets its name
when it is complete, so its attachments are always there too.
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
    from pathlib import Path


@dataclass(frozen=True)
class FileHandler(ConfiguredHandler):
    """Writes events to a folder.

    Args:
        folder: created if missing.
    """

    folder: Path = ini.setting("folder", ini.path())

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
