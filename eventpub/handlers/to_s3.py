"""`s3`: each event becomes an object of a bucket, its attachments objects beside it.

`PREFIX/NAME-ID.json` is the event, `PREFIX/NAME-ID/log` its attachment `log`; the event is stored last. boto3
finds the credentials: in the environment, in `~/.aws`, or from the machine's role.
"""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

from eventpub.errors import HandlerError, suggest_install
from eventpub.settings import ini

from .configured import ConfiguredHandler
from .content import attachments_of, json_of, stem_of


@dataclass(frozen=True)
class S3Handler(ConfiguredHandler):
    """Stores events in a bucket; needs the extra `s3`.

    Args:
        bucket: its name.
        prefix: put in front of all keys, such as "ci/"; empty by default.
        endpoint_url: for a service other than AWS's.
        region: by default as boto3 is configured.
        profile: of the credentials, likewise.
        encryption: at rest: "AES256", "aws:kms", or "none", the default, which leaves it to the bucket.
        timeout_seconds: for connecting, and for each wait for an answer.
    """

    bucket: str = ini.setting("bucket", ini.text("the name of a bucket", r"[A-Za-z0-9_.:/-]+"))
    _: KW_ONLY
    prefix: str = ini.setting("prefix", ini.text(pattern=r".*"), default="")
    endpoint_url: str | None = ini.setting("endpoint_url", ini.text("a URL", r"https?://.+"), default=None)
    region: str | None = ini.setting("region", ini.text(), default=None)
    profile: str | None = ini.setting("profile", ini.text(), default=None)
    encryption: str = ini.setting("encryption", ini.choice("AES256", "aws:kms", "none"), default="none")
    timeout_seconds: float = ini.setting("timeout_seconds", ini.seconds(0.05, 600), default=30.0)

    def check(self) -> None:
        """Raise HandlerError unless boto3 is installed: now, and not when the first event is sent."""
        if find_spec("boto3") is None:
            raise HandlerError(type(self).__name__, f"boto3 is not installed: {suggest_install('s3')}")

    def send_event(self, event: Any) -> bool:
        """Store an event; raises what boto3 raises."""
        content, stem = json_of(event), f"{self.prefix}{stem_of(event)}"
        for name, path in attachments_of(event):
            with path.open("rb") as file:
                self._put(f"{stem}/{name}", file, "application/octet-stream")
        self._put(f"{stem}.json", content, "application/json")
        return True

    def _put(self, key: str, body: Any, content_type: str) -> None:
        encryption = {} if self.encryption == "none" else {"ServerSideEncryption": self.encryption}
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415, comes with boto3

        try:
            self._client.put_object(
                Bucket=self.bucket, Key=key, Body=body, ContentType=content_type, **encryption
            )
        except (BotoCoreError, ClientError) as error:
            raise HandlerError(type(self).__name__, str(error)) from error

    @property
    def _client(self) -> Any:
        """This process's client: after a fork, parent and child would read each other's answers from one."""
        pid = os.getpid()
        return self._clients.get(pid) or self._clients.setdefault(pid, self._make_client())

    @cached_property
    def _clients(self) -> dict[int, Any]:
        return {}

    def _make_client(self) -> Any:
        import boto3  # noqa: PLC0415, an extra, and a second
        from botocore.config import Config  # noqa: PLC0415

        config = Config(connect_timeout=self.timeout_seconds, read_timeout=self.timeout_seconds)
        session = boto3.Session(profile_name=self.profile, region_name=self.region)
        return session.client("s3", endpoint_url=self.endpoint_url, config=config)
