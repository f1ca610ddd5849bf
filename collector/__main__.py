"""`python -m eventpub.collector`: gevent's patches before anything that opens a socket, then the program."""

from gevent import monkey

monkey.patch_all()

from .cli import main  # noqa: E402, the patches come first

raise SystemExit(main())
