"""The exit codes of all commands and programs; docs/operating.md has the same table, and a test compares them.

1 and 2 are what a command found out, such as `doctor` and `status`; from 64 on they say what kept it from its
work, by the names of BSD's sysexits.h.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_WARNING = 1  # partly done, or degraded: doctor warns, some events were not put, drop needs --yes
EXIT_FAILING = 2  # failed: events cannot be put or delivered, the disk failed
EXIT_USAGE = 64  # EX_USAGE: the command line is wrong; argparse's own 2 has another meaning here
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE: the queue cannot be opened, made or removed; the port is taken
EXIT_BROKEN = 70  # EX_SOFTWARE: a stage of the sidecar broke; start it again, nothing is lost
EXIT_FROZEN = 71  # EX_OSERR: a stage, the collector or its store hung; start it again, nothing is lost
EXIT_NO_SPOOL = 73  # EX_CANTCREAT: no such spool, or no access
EXIT_IO = 74  # EX_IOERR: the output cannot be written
EXIT_NOT_YET = 75  # EX_TEMPFAIL: a file is not there yet; the collector had to cut requests off
EXIT_CONFIG = 78  # EX_CONFIG: the configuration file is wrong
EXIT_INTERRUPTED = 130  # 128 + SIGINT; in general 128 + N for the signal N that ended it at once
