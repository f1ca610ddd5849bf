"""What the sender does about an attempt that breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventpub.sidecar.config import load_config
from eventpub.sidecar.delivery.sender import Sender
from eventpub.sidecar.spool.spool import Spool
from eventpub.sidecar.telemetry.metrics import Telemetry

CONFIG = """[event-publisher:v2j]
collector.hostname = 127.0.0.1:9
collector.scheme = http
collector.version = 2j
key.name = test
key.secret = aHVudGVyMg==
"""


def open_spool(directory: Path) -> Spool:
    sizes = {"max_bytes": 1 << 20, "dead_max_bytes": 1 << 20}
    return Spool(directory, "v2j", fsync=False, telemetry=Telemetry(), **sizes)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """One that holds one batch."""
    earlier = open_spool(tmp_path / "spool")
    earlier.add_report(b"{}", "2j")
    earlier.close()
    return open_spool(tmp_path / "spool")


def test_attempt_that_breaks_as_the_last_one_is_no_clean_end(spool: Spool, tmp_path: Path) -> None:
    class Broken:
        def post(self, _request: object) -> None:
            raise ZeroDivisionError

        def close(self) -> None:
            pass

    path = tmp_path / "v2j.ini"
    path.write_text(CONFIG)
    sender = Sender(spool, load_config(path, "v2j"), Telemetry())
    sender._dispatcher._posters["2j"] = Broken()
    sender.resume(spool.recovered)
    sender.finish(20)
    with pytest.raises(ZeroDivisionError):
        sender.run()
    assert len(spool.recovered) == 1
    assert spool.recovered[0].path.exists()
    spool.close()
