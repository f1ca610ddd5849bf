"""One sidecar process: its stages, its signals, its end.

On SIGTERM or SIGINT it goes on for shutdown.grace, takes what is in the kernel queue, seals it, delivers for
up to shutdown.timeout, leaves the rest on disk and logs the ledger. A second signal ends it at once; that
loses nothing either, since everything that was received is in a file.

A stage that fails ends the process with an error; its supervisor starts another one, which reads the spool
back.
"""

from __future__ import annotations

import gc
import logging
import os
from typing import TYPE_CHECKING, NoReturn

import gevent

from eventpub.errors import ConfigError
from eventpub.process.logs import add_context, configure_logs, write_line
from eventpub.process.notify import Supervisor
from eventpub.process.progress import PULSE_SECONDS
from eventpub.process.threads import end_threads
from eventpub.process.watchdog import Watchdog
from eventpub.settings import ini
from eventpub.sidecar.delivery.sender import Sender
from eventpub.sidecar.native import describe_loops
from eventpub.sidecar.receive.receiver import Receiver
from eventpub.sidecar.receive.source import Source
from eventpub.sidecar.spool.errors import SpoolError
from eventpub.sidecar.status.answering import Answering
from eventpub.sidecar.status.observer import Observer
from eventpub.sidecar.status.passing import Passing
from eventpub.sidecar.status.routes import load_metrics, make_routes
from eventpub.sidecar.status.summary import summarize_record
from eventpub.sidecar.telemetry.metrics import Telemetry

from .config import SidecarConfig, load_config
from .loss_report import LossReporter
from .opening import describe_start, open_spool
from .signals import Wake, Wakeups, Woken

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from eventpub.sidecar.spool.batch import Batch
    from eventpub.sidecar.spool.disk import Disk

logger = logging.getLogger(__name__)

_TICK_SECONDS = 1.0  # between two checks of the queue, and of the gauges
_LOOKUP_SECONDS = 2.0  # for the name of statsd's host: a silent name server must not block anything else


class Daemon:
    """The sidecar of one queue.

    Args:
        config: its settings.
        config_path: where to read them again on SIGHUP.
        queue_name: NAME of the queue and of the section.
        wakeups: where the signals arrive; default: they are subscribed to now.
        is_debug: whether everything is logged, whatever `log.level` says.
        disk: the file system of the spool, for tests.

    Raises:
        StoppedEarly: a signal says to stop while the spool's disk is waited for.
        QueueError: the queue cannot be opened.
        SpoolError: the spool cannot be used.
    """

    def __init__(
        self,
        config: SidecarConfig,
        config_path: Path,
        queue_name: str,
        *,
        wakeups: Wakeups | None = None,
        is_debug: bool = False,
        disk: Disk | None = None,
    ) -> None:
        self._config = config
        self._config_path = config_path
        self._queue_name = queue_name
        self._is_debug = is_debug
        self._wakeups = wakeups or Wakeups()
        if wakeups is None:
            self._wakeups.subscribe()
        self._supervisor = Supervisor()
        self._telemetry = Telemetry(config.metrics_namespace, config.metrics_endpoint)
        self._spool = open_spool(
            config,
            queue_name,
            self._telemetry,
            wakeups=self._wakeups,
            supervisor=self._supervisor,
            disk=disk,
        )
        add_context(slot=self._spool.directory.name)
        self._sender = Sender(self._spool, config, self._telemetry)
        self._passing = Passing()
        self._receiver = Receiver(
            Source(config, queue_name),
            self._spool,
            config,
            on_batch=self._take_batch,
            make_room=self._sender.make_room,
            progress=self._telemetry.progress,
        )
        self._observer = Observer(
            config,
            queue_name=queue_name,
            config_path=config_path,
            spool=self._spool,
            receiver=self._receiver,
            sender=self._sender,
            telemetry=self._telemetry,
        )
        self._watchdog = Watchdog(
            self._telemetry.progress.stages,
            config.watchdog_timeout_seconds,
            remains="what was received is in the spool",
            supervisor=self._supervisor,
        )
        if config.status_listen is not None:
            load_metrics()
        self._answering = Answering(
            self._spool.directory,
            make_routes(self._observer.record, self._telemetry.attempts),
            config.status_listen,
        )
        self._answering.add("/tap", self._passing.answer)
        self._reporter = LossReporter(config, queue_name, self._spool, self._telemetry)
        self._exposure: str | None = None
        self._sender.resume(self._spool.recovered)

    def run(self) -> None:
        """Work until a signal says to stop.

        Raises:
            SpoolError: the spool's folder was removed.
            Exception: what made a stage fail.
        """
        hub = gevent.get_hub()
        hub.SYSTEM_ERROR = (
            *hub.SYSTEM_ERROR,
            MemoryError,
        )  # whoever waits for what it ends is never woken: end all
        gc.freeze()  # objects made at the start stay; without this each full collection visits them again
        stages = [gevent.spawn(stage) for stage in (self._receiver.run, self._sender.run)]
        ticker = gevent.spawn(self._tick)
        pulse = gevent.spawn(self._pulse, (*stages, ticker))
        self._watchdog.start()
        for greenlet in (*stages, ticker, pulse):
            greenlet.link_exception(lambda _: self._wakeups.put(Wake.CRASHED))
        self._look_at_key()
        self._answer()
        loops = describe_loops()
        level = logging.INFO if loops == "compiled" else logging.WARNING
        self._supervisor.ready()
        facts = describe_start(self._receiver.queue, self._spool)
        write_line(logger, level, "started", {**facts, "loops": loops})
        while (woken := self._wakeups.get()).why is Wake.RELOAD:
            self._supervisor.reloading()
            self._reload()
            self._supervisor.ready()
        woken = self._wait_out_grace(woken)
        ticker.kill()
        if woken.why is Wake.SPOOL_GONE:
            logger.error(
                "the spool's folder was removed; saving what this process still has under the same name"
            )
        if woken.why is not Wake.CRASHED:
            logger.info("stopping reason=%s", woken)
            self._supervisor.stopping()
            self._observer.phase = "stopping"
            gevent.spawn(_exit_at_second, self._wakeups)
            self._sender.resume(self._reporter.report())
            self._receiver.stop()
            stages[0].join()
            self._sender.finish(self._config.shutdown_timeout_seconds)
            stages[1].join()
        self._close()
        pulse.kill()
        for stage in (*stages, ticker, pulse):
            if stage.exception is not None:
                raise stage.exception
        if woken.why is Wake.SPOOL_GONE:
            raise SpoolError(
                str(self._spool.directory),
                "was removed while the sidecar was running; start again to create it",
            )

    def _wait_out_grace(self, woken: Woken) -> Woken:
        """Go on for shutdown.grace after a signal to stop; return why to stop then."""
        seconds = self._config.shutdown_grace_seconds
        if woken.why is not Wake.STOP or not seconds:
            return woken
        logger.info("receiving goes on for %g seconds, then it stops reason=%s", seconds, woken)
        second = self._wakeups.wait_for_stop(seconds)
        if second is not None and second.why is Wake.STOP:
            os._exit(128 + second.signal_number)
        return second or woken

    def _reload(self) -> None:
        try:
            config = load_config(self._config_path, self._queue_name)
        except ConfigError as error:
            logger.error("reload failed, the old configuration stays: %s", error)  # noqa: TRY400, no traceback
            return
        for key in sorted(ini.changed_keys(self._config, config, live=False)):
            logger.warning("reload: a change of %s takes effect at the next start", key)
        configure_logs(config.log_format, "debug" if self._is_debug else config.log_level)
        self._config = self._receiver.config = self._observer.config = config
        self._reporter.configure(config)
        self._receiver.wake()
        self._sender.configure(config)
        logger.info("reloaded file=%s", self._config_path)

    def _tick(self) -> None:
        while True:
            gevent.sleep(_TICK_SECONDS)
            for look in (
                self._look_at_losses,
                self._look_at_spool,
                self._look_at_key,
                self._flush,
                self._answer,
            ):
                try:
                    look()
                except OSError as error:  # such as a folder that cannot be read for a moment
                    self._telemetry.disk_error(error)

    def _pulse(self, stages: Iterable[gevent.Greenlet]) -> None:
        """Show that the hub turns, and whether the thread that receives does; see to stages that broke.

        One that breaks for lack of memory may find none to tell of it.
        """
        while True:
            if any(stage.exception is not None for stage in stages):
                self._wakeups.put(Wake.CRASHED)
                stages = ()
            self._telemetry.progress.loop.did("turned")
            self._receiver.look_at_progress()
            gevent.sleep(PULSE_SECONDS)

    def _take_batch(self, batch: Batch) -> None:
        self._passing.show(batch)  # first, since its file goes once it is delivered
        self._sender.put(batch)

    def _answer(self) -> None:
        self._answering.look()
        self._observer.listens = self._answering.url

    def _look_at_losses(self) -> None:
        self._sender.resume(self._reporter.report_in_time())

    def _look_at_spool(self) -> None:
        if not self._spool.is_in_place():
            self._wakeups.put(Wake.SPOOL_GONE)
        self._sender.resume(self._spool.recover_unread())

    def _look_at_key(self) -> None:
        """Warn once if others may read the key's file, also after it was replaced."""
        exposure = self._config.exposure()
        if exposure and exposure != self._exposure:
            logger.warning("%s", exposure)
        self._exposure = exposure

    def _flush(self) -> None:
        record = self._observer.record(with_slow_facts=False)
        self._telemetry.spooled = record.ledger.spooled
        self._telemetry.gauge("spool.bytes", record.spool.size_bytes)
        if record.queue.depth_messages is not None:
            self._telemetry.gauge("queue.depth", record.queue.depth_messages)
        if self._supervisor.is_there:
            self._supervisor.status(summarize_record(record))
        with gevent.Timeout(_LOOKUP_SECONDS, False):
            self._telemetry.flush()

    def _close(self) -> None:
        self._reporter.write()  # what has not been told is for the next process to deliver
        self._flush()
        self._telemetry.close()
        ledger = self._telemetry.ledger()
        is_clean = not (ledger.dead or ledger.dropped or ledger.unaccounted)
        write_line(logger, logging.INFO if is_clean else logging.WARNING, "stopped", ledger.facts())
        self._answering.close()
        self._observer.close()
        self._watchdog.stop()
        self._supervisor.close()
        self._spool.close()
        self._receiver.close()
        end_threads(gevent.get_hub().threadpool)  # which look up names


def _exit_at_second(wakeups: Wakeups) -> NoReturn:
    while (woken := wakeups.get()).why is not Wake.STOP:
        pass  # already stopping
    os._exit(128 + woken.signal_number)
