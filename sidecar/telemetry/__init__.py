"""What a sidecar counts and says: reasons, books, verdicts, metrics, and a log that does not repeat itself."""
