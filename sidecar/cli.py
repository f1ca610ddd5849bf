"""The sidecar's command line: arguments, logging, exit codes."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import eventpub
from eventpub.cli.arguments import queue_name
from eventpub.cli.terminal import complain, say
from eventpub.errors import ConfigError, EventPubError, NotYetError, QueueError, QueueMissingError
from eventpub.printable import configure_logging
from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.http.certificates import check_certificates
from eventpub.sidecar.native import describe_loops
from eventpub.sidecar.spool.errors import SpoolError

from .config import SECTION_PREFIX, SidecarConfig, check_host, default_spool_dir, load_config
from .daemon import Daemon, StoppedEarly
from .signals import Wakeups

if TYPE_CHECKING:
    from collections.abc import Sequence

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT_BYTES = 32 * 1024 * 1024  # the largest value that glibc accepts for the second

EXIT_OK = 0  # stopped by a signal; what was not delivered is in the spool
EXIT_USAGE = 2  # the command line is wrong (argparse's own code)
EXIT_BROKEN = 70  # a stage broke (EX_SOFTWARE): start it again, nothing is lost
EXIT_NO_QUEUE = 69  # the queue cannot be opened (EX_UNAVAILABLE)
EXIT_NO_SPOOL = 73  # the spool cannot be used (EX_CANTCREAT)
EXIT_NOT_YET = 75  # a file with key or certificates is not there yet (EX_TEMPFAIL): start it again
EXIT_CONFIG = 78  # the configuration is wrong (EX_CONFIG): starting it again does not help
# 128 + N: a second signal N ended it at once; what was received is in the spool

_PROGRAM = "eventpub.sidecar"
_EPILOG = """\
examples:
  %(prog)s --queue-name v2 example.ini                 deliver the events of queue v2
  %(prog)s --queue-name v2 --check-config example.ini  check the file, and exit
  %(prog)s --queue-name v2 --debug example.ini         log each batch

signals:
  SIGTERM, SIGINT  receive for shutdown.grace, empty the queue, deliver for up to shutdown.timeout, keep the
                   rest on disk, exit 0
                   (a second one, number N, exits at once with 128 + N; nothing is lost)
  SIGHUP           read the file again; a bad file is reported, and the old settings stay

exit codes:
  0 stopped   2 wrong arguments   69 no queue   70 broke, start again   73 no spool
  75 a file with key or certificates is not there yet, start again   78 wrong configuration
  128 + N ended by a second signal N
"""


def main(arguments: Sequence[str] | None = None, *, name: str = "python -m eventpub.sidecar") -> int:
    """Run a sidecar until it is stopped.

    Args:
        arguments: the command line without the program's name; by default the process's own.
        name: how it was started, for its help.

    Returns:
        One of the EXIT codes.
    """
    options = _build_parser(name).parse_args(arguments)
    level = logging.DEBUG if options.debug else logging.INFO
    configure_logging(level, "%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.umask(0o077)  # files created from here on are for this user only
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # at DEBUG it writes a line per request
    wakeups = Wakeups()
    if not options.check_config:
        wakeups.subscribe()  # before anything that a signal could cut short
    try:
        config = load_config(options.config_file, options.queue_name)
        config.signing_key()
        if options.check_config:
            check_host(config, SECTION_PREFIX + options.queue_name)
            check_certificates(config, SECTION_PREFIX + options.queue_name)
            spool = config.spool_dir or default_spool_dir()
            for doubt in filter(None, (config.exposure(), _find_misfit(config, options.queue_name))):
                complain(doubt, program=_PROGRAM)
            say(f"{options.config_file}: good; {config.collector_url}, spool in {spool}")
            return EXIT_OK
        _keep_freed_memory()
        Daemon(config, options.config_file, options.queue_name, wakeups=wakeups).run()
    except StoppedEarly:
        pass  # it has said so
    except ConfigError as error:
        is_soon = isinstance(error, NotYetError) and not options.check_config
        return _fail_with(EXIT_NOT_YET if is_soon else EXIT_CONFIG, error)
    except QueueError as error:
        return _fail_with(EXIT_NO_QUEUE, error)
    except SpoolError as error:
        return _fail_with(EXIT_NO_SPOOL, error)
    except Exception:
        logging.getLogger(__name__).exception("a stage broke; what was received is in the spool")
        return EXIT_BROKEN
    return EXIT_OK


def _find_misfit(config: SidecarConfig, name: str) -> str | None:
    """Return why this kernel would refuse a queue of the configured size, or None; leaves nothing behind."""
    messages, size_bytes = config.max_queue_size_events, config.max_message_size_bytes
    if messages is None and size_bytes is None:
        return None
    scratch = f"{name[:150]}-check-{os.getpid()}"
    try:
        MessageQueue.open(name, read=False, create=False).close()  # an existing queue stays as it is
    except QueueMissingError:
        try:
            with MessageQueue.open(
                scratch, max_messages=messages or 1, max_message_size=size_bytes or 128
            ) as queue:
                queue.unlink()
        except QueueError as error:
            return f"the queue cannot be created: {error.reason}"
    except QueueError as error:
        return str(error)
    return None


def _keep_freed_memory() -> None:
    """Make malloc keep the half megabyte that each batch allocates and frees: fresh pages cost 5 % CPU."""
    with contextlib.suppress(AttributeError):  # only glibc has it
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def _fail_with(code: int, error: EventPubError) -> int:
    complain(str(error), program=_PROGRAM)
    return code


def _build_parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=name,
        description="Deliver every event of one queue to an HTTP collector.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config_file", type=Path, help="INI file with a section [event-publisher:NAME]")
    parser.add_argument(
        "--queue-name",
        type=queue_name,
        default="main",
        metavar="NAME",
        help="queue, section and folder in the spool (default: main)",
    )
    parser.add_argument("--debug", action="store_true", help="log each batch")
    parser.add_argument("--check-config", action="store_true", help="check the file and exit")
    version = f"eventpub {eventpub.__version__} loops={describe_loops()}"
    parser.add_argument("--version", action="version", version=version.replace("%", "%%"))
    return parser
