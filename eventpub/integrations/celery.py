"""Celery: tasks whose events say the request that started them.

    from eventpub.integrations import celery as eventpub_celery

    app = Celery("shop", broker=…)
    eventpub_celery.setup(app)

It is called where the application is created, so that web processes and workers both do. A task that is run in
place, by `apply` or `task_always_eager`, is a part of the request that runs it.

What waits in an `AsyncBackend` is delivered when a worker, or one of its child processes, ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.signals import before_task_publish, task_postrun, task_prerun

from eventpub import ambient

from .jobs import HEADER, dump_context, restore_job

if TYPE_CHECKING:
    from celery import Celery

_UID = "eventpub.integrations.celery"

_running: dict[str, ambient.Running] = {}  # by id of the task


def setup(app: Celery) -> None:
    """Take along what is bound from where tasks are sent to where they are run.

    Args:
        app: the application. Celery's signals are those of the process, so others in it take part.
    """
    del app
    before_task_publish.connect(_send_along, weak=False, dispatch_uid=_UID)
    task_prerun.connect(_begin, weak=False, dispatch_uid=_UID)
    task_postrun.connect(_end, weak=False, dispatch_uid=_UID)


def _send_along(headers: dict[str, Any] | None = None, **_named: Any) -> None:
    if headers is not None and HEADER not in headers:
        headers.update(dump_context())


def _begin(task_id: str, task: Any, **_named: Any) -> None:
    if not task.request.is_eager:
        running = _running[task_id] = ambient.Running(restore_job({HEADER: task.request.get(HEADER)}))
        running.__enter__()


def _end(task_id: str, **_named: Any) -> None:
    if running := _running.pop(task_id, None):
        running.__exit__(None, None, None)
