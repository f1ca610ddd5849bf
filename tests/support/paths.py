"""Where the checkout and its test certificates are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CERTIFICATES = ROOT / "tests" / "support" / "certificates"  # of an authority whose key was thrown away
