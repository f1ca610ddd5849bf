"""`python -m eventpub.collector`: reads the configuration, then serves until a signal ends it."""

# ruff: noqa: T201, a program prints

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from typing import TYPE_CHECKING, Any, TypeVar

import gevent
import gevent.event

from eventpub.cli.errors import OutputError
from eventpub.cli.exit_codes import EXIT_CONFIG, EXIT_IO, EXIT_NOT_YET, EXIT_OK, EXIT_UNAVAILABLE
from eventpub.cli.terminal import complain, flush_output, say
from eventpub.collector.http.server import Server
from eventpub.collector.http.tls import tls_context
from eventpub.collector.page.opening import open_feed, refuse_workers, serve_page
from eventpub.collector.store.thread import StoreThread
from eventpub.collector.telemetry.observer import REMAINS, Observer, are_well, listen_for_workers
from eventpub.errors import ConfigError, NotYetError
from eventpub.process.errors import ListenError
from eventpub.process.logs import configure_logs, peek_format
from eventpub.process.watchdog import watch_hub

from . import config, faults
from .application import Application
from .command_line import build_parser
from .engines import open_store
from .reload import reload_config, reload_log
from .starting import StartingApplication
from .supervised import tell_supervisor
from .workers import Workers, adopt_listener, stop_with

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

_PROGRAM = "eventpub.collector"
logger = logging.getLogger(_PROGRAM)

T = TypeVar("T")

_RETRY_SECONDS = 1.0
_TELL_SECONDS = 60.0
_TICK_SECONDS = 1.0
# at least, since a store is closed in milliseconds; at most, since supervisors wait for it and `timeout.stop`
_CLOSE_PATIENCE_SECONDS = (1.0, 5.0)


def main(arguments: Sequence[str] | None = None, *, name: str = "python -m eventpub.collector") -> int:
    """Run the collector; return its exit code. `name` is how it was started, for its help."""
    options = build_parser(name).parse_args(arguments)
    configure_logs(peek_format(options.config, config.SECTION), "info")
    stop, reload = _watch_signals()
    if options.watcher is not None:
        stop_with(options.watcher)
    try:
        loaded = _load_config(options, stop)
        if loaded is None:
            return EXIT_OK
        configure_logs(loaded.settings.log_format, "debug" if options.debug else loaded.settings.log_level)
        script = _read_script(options.faults or loaded.settings.faults, options.workers)
        if options.check_config:
            tls_context(loaded.settings)
            say(f"{options.config}: good; keys: {', '.join(loaded.secrets)}")
            flush_output()
            return EXIT_OK
        if options.workers > 1:
            refuse_workers(loaded.settings)
            return _run_workers(options, loaded.settings, stop, reload)
        tls = _wait_for(lambda: tls_context(loaded.settings), stop)
    except ConfigError as error:
        if options.check_config:
            complain(str(error), program=_PROGRAM)
        else:
            logger.error("%s", error)  # noqa: TRY400, no traceback
        return EXIT_CONFIG
    except OutputError as error:
        complain(str(error), program=_PROGRAM)
        return EXIT_IO
    return EXIT_OK if stop.is_set() else _run(options, loaded, script, tls, stop=stop, reload=reload)


def _load_config(options: argparse.Namespace, stop: gevent.event.Event) -> config.Config | None:
    """Read the file, and wait where this host cannot open it now; return None if `stop` comes first."""
    if options.check_config:
        return config.load_config(options.config)
    return _wait_for(lambda: config.load_config(options.config), stop)


def _run(
    options: argparse.Namespace,
    loaded: config.Config,
    script: list[faults.Step] | None,
    tls: Any,
    *,
    stop: gevent.event.Event,
    reload: gevent.event.Event,
) -> int:
    listener = None if options.listen_fd is None else adopt_listener(options.listen_fd)
    server = Server(StartingApplication(), loaded.settings, tls, listener)
    observer = Observer(server, options.counts_file, hung_seconds=loaded.settings.hung_seconds)
    try:
        with watch_hub(loaded.settings.hung_seconds, remains=REMAINS):
            observer.start()
            server.start()
            if options.watcher is None:
                observer.listen(loaded.settings.status_listen)
            return _serve(server, observer, loaded, script, options, stop=stop, reload=reload)
    except ConfigError as error:
        logger.error("%s", error)  # noqa: TRY400, no traceback
        return EXIT_CONFIG
    except OSError as error:
        logger.error("cannot listen on %s: %s", ":".join(map(str, server.address)), error)  # noqa: TRY400
        return EXIT_UNAVAILABLE
    except ListenError as error:
        logger.error("status.listen: %s", error)  # noqa: TRY400
        return EXIT_UNAVAILABLE
    finally:
        server.finish()
        observer.close()


def _serve(
    server: Server,
    observer: Observer,
    loaded: config.Config,
    script: list[faults.Step] | None,
    options: argparse.Namespace,
    *,
    stop: gevent.event.Event,
    reload: gevent.event.Event,
) -> int:
    """Open the store, while the server answers that it is not there yet; then serve until `stop` is set."""
    store = _wait_for(lambda: _open_store(loaded.settings), stop, server.application)
    if store is None:
        return EXIT_OK
    feed = None if loaded.settings.page_listen is None else open_feed(loaded)
    application = Application(loaded, store, feed=feed, counts=server.counts)
    observer.watch(store, application)
    server.application = application if script is None else faults.Faults(application, script)

    def reload_when_asked() -> None:
        while reload.wait():
            reload.clear()
            supervisor.reloading()
            reload_config(options.config, loaded.settings, application, server, is_debug=options.debug)
            supervisor.ready()

    def tell_left_out() -> None:
        while True:
            gevent.sleep(_TICK_SECONDS)
            application.refused.tell_left_out()

    helpers: list[gevent.Greenlet[[], None]] = []
    try:
        with (
            serve_page(loaded.settings, feed, server.url) as page_url,
            tell_supervisor(f"serves {server.url}", observer.is_well) as supervisor,
        ):
            helpers += [gevent.spawn(helper) for helper in (reload_when_asked, tell_left_out)]
            _announce_url(server.url, loaded.settings, options, page_url)
            stop.wait()
            cut_off = server.finish()
        logger.info("stopped requests_cut_off=%d", cut_off)
        return EXIT_NOT_YET if cut_off else EXIT_OK
    finally:
        gevent.killall(helpers)
        application.refused.tell_left_out(at_once=True)
        store.close()
        application.close()


def _run_workers(
    options: argparse.Namespace, settings: config.Settings, stop: gevent.event.Event, reload: gevent.event.Event
) -> int:
    arguments = [*(["--debug"] if options.debug else []), str(options.config)]
    try:
        workers = Workers(options.workers, arguments, settings, stop=stop, reload=reload)
    except OSError as error:
        logger.error("cannot listen on %s: %s", ":".join(map(str, settings.listen)), error)  # noqa: TRY400
        return EXIT_UNAVAILABLE
    code = workers.start()
    if code is not None:
        return code
    host, port = workers.address
    scheme = "https" if settings.tls_certificate else "http"
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    _announce_url(url, settings, options)
    not_replaced_seconds = 2 * settings.hung_seconds
    try:
        listener = listen_for_workers(workers.counts_files, settings.status_listen, not_replaced_seconds)
    except ListenError as error:
        logger.error("status.listen: %s", error)  # noqa: TRY400
        return workers.finish(EXIT_UNAVAILABLE)
    words = f"serves {url} with {options.workers} workers"
    with (
        watch_hub(settings.hung_seconds, remains="the workers end with this process"),
        contextlib.closing(listener) if listener else contextlib.nullcontext(),
        tell_supervisor(words, lambda: are_well(workers.counts_files, not_replaced_seconds)) as supervisor,
    ):

        def reload_own() -> None:
            supervisor.reloading()
            reload_log(options.config, is_debug=options.debug)
            supervisor.ready()

        return workers.watch(reload_own)


def _watch_signals() -> tuple[gevent.event.Event, gevent.event.Event]:
    """Return events that SIGTERM or SIGINT, and SIGHUP, set; the second SIGTERM ends the process at once."""
    stop, reload = gevent.event.Event(), gevent.event.Event()

    def on_stop() -> None:
        if stop.is_set():
            os._exit(EXIT_NOT_YET)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, on_stop)
    gevent.signal_handler(signal.SIGHUP, reload.set)
    return stop, reload


def _wait_for(
    make: Callable[[], T], stop: gevent.event.Event, starting: StartingApplication | None = None
) -> T | None:
    """Return what `make` makes; wait for what may come by itself, and return None if `stop` comes first."""
    told_at = -_TELL_SECONDS
    while True:
        try:
            return make()
        except NotYetError as error:
            if starting is not None:
                starting.reason = str(error)
            if time.monotonic() - told_at >= _TELL_SECONDS:
                logger.warning("waiting: %s; trying again every %g s", error, _RETRY_SECONDS)
                told_at = time.monotonic()
        if stop.wait(_RETRY_SECONDS):
            return None


def _open_store(settings: config.Settings) -> StoreThread:
    least, most = _CLOSE_PATIENCE_SECONDS
    return StoreThread(
        lambda: open_store(settings),
        close_patience_seconds=min(max(settings.stop_timeout_seconds, least), most),
    )


def _read_script(path: Path | None, workers: int) -> list[faults.Step] | None:
    if path is None:
        return None
    if workers > 1:
        reason = "a script of faults is for one process; leave --workers out"
        raise ConfigError(config.SECTION, "faults", str(path), reason)
    try:
        return faults.read_script(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(config.SECTION, "faults", str(path), f"is not a script of faults: {error}") from error


def _announce_url(
    url: str, settings: config.Settings, options: argparse.Namespace, page_url: str | None = None
) -> None:
    """Say what is served; write the ready file atomically, so that a reader never sees half of it."""
    if settings.log_format == "json":  # standard output may be the same pipe
        logger.info("listening url=%s workers=%d page=%s", url, options.workers, page_url)
    else:
        print(f"listening on {url}{f' workers={options.workers}' if options.workers > 1 else ''}", flush=True)
        if page_url:
            print(f"page on {page_url}", flush=True)
    path = options.ready_file
    if path is None:
        return
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(url + "\n")
    draft.replace(path)
