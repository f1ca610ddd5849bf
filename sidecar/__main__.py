"""`python -m eventpub.sidecar`, and `eventpub sidecar`: gevent's patches first, then the program."""

import signal

signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it is subscribed to; the file is read after that anyway

from gevent import monkey  # noqa: E402, it takes a while to import

from eventpub.process.descriptors import hold_standard_descriptors  # noqa: E402

hold_standard_descriptors()  # the patches open one
monkey.patch_all()

import sys  # noqa: E402, the patches come first

from .cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
