"""The sidecar's command line: arguments, logging, exit codes."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import eventpub
from eventpub.cli.arguments import CommandParser, add_config_file, add_queue_name, add_version
from eventpub.cli.errors import OutputError, UsageError
from eventpub.cli.exit_codes import (
    EXIT_BROKEN,
    EXIT_CONFIG,
    EXIT_IO,
    EXIT_NO_SPOOL,
    EXIT_NOT_YET,
    EXIT_OK,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
)
from eventpub.cli.help_format import FoldedHelp
from eventpub.cli.terminal import complain, flush_output, say
from eventpub.errors import ConfigError, NotYetError, QueueError
from eventpub.process.logs import add_context, configure_logs, peek_format
from eventpub.queue.stand_in import VARIABLE
from eventpub.sidecar.doctor.queue import find_misfit
from eventpub.sidecar.http.certificates import check_certificates
from eventpub.sidecar.native import describe_loops
from eventpub.sidecar.spool.errors import SpoolError

from .config import SECTION_PREFIX, load_config
from .daemon import Daemon
from .host import check_host, default_spool_dir
from .opening import StoppedEarly, wait_for_means
from .queue_choice import choose_queue
from .signals import Wakeups

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT_BYTES = 32 * 1024 * 1024  # the largest value that glibc accepts for the second

_PROGRAM = "eventpub.sidecar"
_MISPLACED = "is for development without a sidecar; unset it here and for the applications, then restart them"
_EXITS = (  # of the first that fits
    (UsageError, EXIT_USAGE),
    (NotYetError, EXIT_NOT_YET),
    (ConfigError, EXIT_CONFIG),
    (QueueError, EXIT_UNAVAILABLE),
    (SpoolError, EXIT_NO_SPOOL),
    (OutputError, EXIT_IO),
)
_EPILOG = """\
examples:
  %(prog)s --queue-name v2 example.ini                 deliver the events of queue v2
  %(prog)s --queue-name v2 --check-config example.ini  check the file, and exit
  %(prog)s --queue-name v2 --debug example.ini         log each batch

signals:
  SIGTERM, SIGINT  receive for shutdown.grace, empty the queue, deliver for up
                   to shutdown.timeout, keep the rest on disk, exit 0; a second
                   one, number N, exits at once with 128 + N, and loses nothing
  SIGHUP           read the file again; if it is wrong, the old settings stay

exit codes:
  0 stopped   64 wrong arguments   69 no queue   70 broke, start again
  71 a stage hung, start again   73 no spool
  74 the output of --check-config cannot be written
  75 a file with key or certificates is not there yet, start again
  78 wrong configuration
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
    options = build_parser(name).parse_args(arguments)
    configure_logs("text", "info")
    os.umask(0o077)  # files created from here on are for this user only
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # at DEBUG it writes a line per request
    wakeups = Wakeups()
    if not options.check_config:
        wakeups.subscribe()  # before anything that a signal could cut short
    try:
        _refuse_stand_in()
        if not options.check_config:
            wait_for_means(wakeups)
        queue_name = choose_queue(options.config_file, options.queue_name)
        form = peek_format(options.config_file, SECTION_PREFIX + queue_name)
        add_context(queue=queue_name)
        configure_logs(form, "info")  # what is wrong with the rest of the file is told in it
        config = load_config(options.config_file, queue_name)
        configure_logs(config.log_format, "debug" if options.debug else config.log_level)
        config.signing_key()
        if options.check_config:
            check_host(config, SECTION_PREFIX + queue_name)
            check_certificates(config, SECTION_PREFIX + queue_name)
            spool = config.spool_dir or default_spool_dir()
            for doubt in filter(None, (config.exposure(), find_misfit(config, queue_name))):
                complain(doubt, program=_PROGRAM)
            say(f"{options.config_file}: good; {config.collector_url}, spool in {spool}")
            flush_output()
            return EXIT_OK
        _keep_freed_memory()
        daemon = Daemon(config, Path(options.config_file), queue_name, wakeups=wakeups, is_debug=options.debug)
        daemon.run()
    except StoppedEarly:
        pass  # it has said so
    except (UsageError, ConfigError, QueueError, SpoolError, OutputError) as error:
        if options.check_config:
            complain(str(error), program=_PROGRAM)
        else:
            logging.getLogger(_PROGRAM).error("%s", error)  # noqa: TRY400, no traceback
        code = next(code for kind, code in _EXITS if isinstance(error, kind))
        return EXIT_CONFIG if code == EXIT_NOT_YET and options.check_config else code
    except Exception:
        logging.getLogger(__name__).exception("a stage broke; what was received is in the spool")
        return EXIT_BROKEN
    return EXIT_OK


def _refuse_stand_in() -> None:
    """Raise if applications that are started like this sidecar would put nothing on its queue."""
    if kind := os.environ.get(VARIABLE):
        raise ConfigError("environment", VARIABLE, kind, _MISPLACED)


def _keep_freed_memory() -> None:
    """Make malloc keep the half megabyte that each batch allocates and frees: fresh pages cost 5 % CPU."""
    with contextlib.suppress(AttributeError):  # only glibc has it
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def build_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of the command line of a program that is called `name`."""
    parser = CommandParser(
        prog=name,
        description="Deliver every event of one queue to an HTTP collector.",
        epilog=_EPILOG,
        formatter_class=FoldedHelp,
    )
    add_config_file(parser, is_needed=True)
    add_queue_name(parser)
    parser.add_argument("--debug", action="store_true", help="log each batch, whatever log.level says")
    parser.add_argument("--check-config", action="store_true", help="check the file and exit")
    add_version(parser, lambda: f"eventpub {eventpub.__version__} loops={describe_loops()}")
    return parser
