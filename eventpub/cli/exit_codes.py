"""The exit codes of the `eventpub` command."""

from __future__ import annotations

EXIT_OK = 0
EXIT_WARNING = 1  # it works, but not all of it: doctor warns, some events were not put, drop wants --yes
EXIT_FAILING = 2  # doctor: events cannot be put; others: what was asked for could not be done
EXIT_USAGE = 64  # EX_USAGE: the command line makes no sense; argparse's own 2 is doctor's here
EXIT_NO_QUEUE = 69  # EX_UNAVAILABLE: the queue cannot be opened, made or removed
EXIT_NO_SPOOL = 73  # EX_CANTCREAT: no such spool, or no access; as the sidecar itself has it
EXIT_IO = 74  # EX_IOERR: the output cannot be written
EXIT_CONFIG = 78  # EX_CONFIG: the configuration file is wrong
EXIT_INTERRUPTED = 130  # 128 + SIGINT
