"""The collector's own errors."""

from __future__ import annotations

from eventpub.errors import ConfigError


class NotYetError(ConfigError):
    """Something that the file names cannot be used now, and may be in a moment, without anybody's doing."""
