"""`python -m eventpub.collector`, and `eventpub collector`: gevent's patches first, then the program."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402, the patches come first

from .cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
