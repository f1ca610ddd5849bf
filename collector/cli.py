"""`python -m eventpub.collector`: reads the configuration, then serves until a signal ends it."""

# ruff: noqa: T201, a program prints

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import gevent
import gevent.event

from eventpub import __version__
from eventpub.collector.http.server import Server, tls_context
from eventpub.collector.store.sqlite import SqliteStore
from eventpub.collector.store.thread import StoreThread
from eventpub.errors import ConfigError
from eventpub.settings import ini

from . import config, faults
from .application import Application

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

EXIT_OK = 0  # stopped by a signal; every request in flight had its answer
EXIT_USAGE = 2  # the command line makes no sense; argparse's own
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE: cannot listen on the address
EXIT_CUT_OFF = 75  # EX_TEMPFAIL: stopped with requests in flight; their senders will repeat them
EXIT_CONFIG = 78  # EX_CONFIG: the file, or something it names, cannot be used

_EXAMPLES = """\
examples:
  %(prog)s collector.ini
  %(prog)s --check-config collector.ini
  %(prog)s --ready-file /run/collector.url collector.ini

  # refuse three requests, then serve; for tests of senders
  echo '[{"status": 503, "times": 3}]' > faults.json
  %(prog)s --faults faults.json collector.ini

exit codes:
  0 stopped by a signal   2 wrong arguments   69 cannot listen   75 stopped with requests in flight
  78 wrong configuration, or no store where it says

signals:
  TERM, INT  stop, and answer the requests in flight; a second one ends it at once
  HUP        read the file again for its [keys]; what else has changed there takes a restart
"""


def main(arguments: Sequence[str] | None = None, *, name: str = "python -m eventpub.collector") -> int:
    """Run the collector; return its exit code. `name` is how it was started, for its help."""
    options = _build_parser(name).parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if options.debug else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    try:
        loaded = config.load_config(options.config)
        script = _read_script(options.faults or loaded.settings.faults)
        tls = tls_context(loaded.settings)
        if options.check_config:
            print(f"{options.config}: good; keys: {', '.join(loaded.secrets)}")
            return EXIT_OK
        store = _open_store(loaded.settings)
    except ConfigError as error:
        print(f"eventpub.collector: {error}", file=sys.stderr)
        return EXIT_CONFIG
    application = Application(loaded, store)
    gevent.signal_handler(signal.SIGHUP, _reload_keys, options.config, application, loaded)
    served = application if script is None else faults.Faults(application, script)
    try:
        return _serve_requests(Server(served, loaded.settings, tls), options.ready_file)
    finally:
        store.close()


def _serve_requests(server: Server, ready_file: Path | None) -> int:
    stop = _stop_on_signals()
    try:
        server.start()
    except OSError as error:
        print(
            f"eventpub.collector: cannot listen on {':'.join(map(str, server.address))}: {error}",
            file=sys.stderr,
        )
        return EXIT_UNAVAILABLE
    print(f"listening on {server.url}", flush=True)
    if ready_file is not None:
        _announce_url(ready_file, server.url)
    stop.wait()
    cut_off = server.finish()
    logger.info("stopped requests_cut_off=%d", cut_off)
    return EXIT_CUT_OFF if cut_off else EXIT_OK


def _stop_on_signals() -> gevent.event.Event:
    """Return an event that the first SIGTERM or SIGINT sets; the second ends the process at once."""
    stop = gevent.event.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(EXIT_CUT_OFF)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, on_signal)
    return stop


def _reload_keys(path: Path, application: Application, started: config.Config) -> None:
    """Use the keys that the file has now; one that cannot be read changes nothing."""
    try:
        loaded = config.load_config(path)
    except ConfigError as error:
        logger.error("reload failed, the old keys stay: %s", error)  # noqa: TRY400, no traceback
        return
    application.use_keys(loaded.secrets)
    for key in sorted(ini.changed_keys(started.settings, loaded.settings)):
        logger.warning("reload: a change of %s takes effect at the next start", key)
    logger.info("reloaded file=%s keys=%s", path, ",".join(loaded.secrets))


def _open_store(settings: config.Settings) -> StoreThread:
    return StoreThread(
        lambda: SqliteStore(
            settings.store_path,
            synchronous=settings.store_synchronous,
            busy_timeout_seconds=settings.store_busy_timeout_seconds,
            dedupe_memory_seconds=settings.dedupe_memory_seconds,
        )
    )


def _read_script(path: Path | None) -> list[faults.Step] | None:
    if path is None:
        return None
    try:
        return faults.read_script(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(config.SECTION, "faults", str(path), f"is no script of faults: {error}") from error


def _announce_url(path: Path, url: str) -> None:
    """Write the ready file whole: whoever sees it can read it."""
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(url + "\n")
    draft.replace(path)


def _build_parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=name,
        description="Take signed batches of events over HTTP and store every event once.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, help="INI file; deploy/collector.ini explains every key")
    parser.add_argument("--check-config", action="store_true", help="read the configuration, and exit")
    parser.add_argument("--debug", action="store_true", help="log more, such as why requests were refused")
    parser.add_argument(
        "--faults", type=Path, metavar="SCRIPT", help="misbehave as a JSON file says (for tests)"
    )
    parser.add_argument("--ready-file", type=Path, metavar="PATH", help="write the URL there once it is served")
    parser.add_argument("--version", action="version", version=f"eventpub {__version__}")
    return parser
