"""`python -m eventpub` is the `eventpub` command."""

from __future__ import annotations

import sys

from eventpub.cli import main

if __name__ == "__main__":
    sys.exit(main())
