"""`python -m eventpub.collector`, and `eventpub collector`: gevent's patches first, then the program."""

import signal

signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload; by default it ends a process

from gevent import monkey  # noqa: E402

from eventpub.process.descriptors import hold_standard_descriptors  # noqa: E402

hold_standard_descriptors()  # the patches open one
monkey.patch_all()

import sys  # noqa: E402, the patches come first

from .cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
