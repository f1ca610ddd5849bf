"""The sidecar's part of `eventpub doctor CONFIG.ini`: tries all that its sidecar will need.

The queue, the spool and its disk, the collector and statsd, a module each. It asks as the sidecar itself would,
with the same code wherever that is possible, and leaves nothing behind but the id of an empty batch in the
collector's memory.
"""

from __future__ import annotations

from .examine import examine_config, list_queues

__all__ = ["examine_config", "list_queues"]
