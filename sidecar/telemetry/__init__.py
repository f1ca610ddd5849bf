"""What a sidecar counts and logs: reasons, ledger, verdicts, metrics, and a log that does not repeat itself."""
