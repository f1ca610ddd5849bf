"""`python -m eventpub.sidecar`: gevent first, since whatever is imported after it must use its sockets."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

from .cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
