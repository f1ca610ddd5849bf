"""What is bound in a request, taken along to the jobs that it starts in other processes.

queue.enqueue(send_mail, meta=dump_context())  # in the request

with restored(job.meta):  # in the worker
tracker.emit("mail.sent")
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eventpub import ambient
from eventpub.errors import UnwritableValueError
from eventpub.serialization.serialize import serialize_json_event

from .served import ServedRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

HEADER = "eventpub-context"


def dump_context() -> dict[str, str]:
    """Return headers for a job: the request, what was said about it, and the entered contexts of all trackers.

    Returns:
        One header of JSON text for `restored`, or none if nothing is bound. Values have the form that they have
        on a `json` queue, so they may be dates, UUIDs and Decimals.
    """
    try:
        context = ambient.merge_all()
        return {HEADER: serialize_json_event(context).decode()} if context else {}
    except UnwritableValueError:  # in tests only, which are to fail by it
        raise
    except Exception as error:  # noqa: BLE001, a context is third-party code; a job runs without it too
        logger.error("the context of a job cannot be written: %s", type(error).__name__)  # noqa: TRY400, no values
        return {}


@contextmanager
def restored(headers: Mapping[str, Any] | None) -> Iterator[None]:
    """Run a job with what was bound where it was started, and nothing else; afterwards nothing remains.

    Events of all trackers have it, and `say` adds to it.

    Args:
        headers: that the job came with; others than ours are ignored, and so is one that cannot be read.
    """
    job = restore_job(headers)
    try:
        with ambient.Running(job):
            yield
    finally:
        job.finish()


def restore_job(headers: Mapping[str, Any] | None) -> ServedRequest:
    """Return a job, to be run as `restored` does."""
    job = ServedRequest(None)
    context = _read_header((headers or {}).get(HEADER))
    if isinstance(context.get("request"), Mapping):
        job.know(**{str(name): value for name, value in context.pop("request").items()})
    context.pop("request", None)
    job.say(context)
    return job


def _read_header(text: Any) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        context = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        context = None
    if not isinstance(context, dict):
        logger.warning("the header %s of a job is not what dump_context() made; its events go without", HEADER)
        return {}
    return context
