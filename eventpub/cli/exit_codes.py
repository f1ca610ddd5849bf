"""The exit codes of the `eventpub` command."""

from __future__ import annotations

EXIT_OK = 0
EXIT_WARNING = 1  # partly done: doctor warns, some events were not put, drop needs --yes
EXIT_FAILING = 2  # doctor: events cannot be put; others: the command failed
EXIT_USAGE = 64  # EX_USAGE: the command line is wrong; argparse's own 2 is taken by doctor
EXIT_NO_QUEUE = 69  # EX_UNAVAILABLE: the queue cannot be opened, made or removed
EXIT_NO_SPOOL = 73  # EX_CANTCREAT: no such spool, or no access; the sidecar uses the same code
EXIT_IO = 74  # EX_IOERR: the output cannot be written
EXIT_CONFIG = 78  # EX_CONFIG: the configuration file is wrong
EXIT_INTERRUPTED = 130  # 128 + SIGINT
