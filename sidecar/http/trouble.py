"""An error that ends an attempt without an answer -> a fixed kind, and what to do about it.

| kind          | what happened                                                              |
|---------------|----------------------------------------------------------------------------|
| `dns`         | the name has no address                                                    |
| `refused`     | nothing listens there                                                      |
| `unreachable` | there is no route to it                                                    |
| `tls`         | a certificate, or one end does not speak TLS                               |
| `proxy`       | the proxy does not let the request through                                 |
| `timeout`     | nothing moved for the timeout, or the deadline is over; the reason says where |
| `reset`       | the connection ended before the answer did                                 |
| `malformed`   | an HTTP answer, but one that cannot be read to its end                     |
| `other`       | anything else: the reply is not HTTP, this host lacks memory, ...          |
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple

import gevent
import urllib3
from urllib3.util.ssl_match_hostname import CertificateError

from .dial import UNREACHABLE
from .errors import NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (  # the first that matches
    ("dns", (socket.gaierror, UnicodeError)),  # the second for a name that no name server could know
    ("reset", (ssl.SSLEOFError, ssl.SSLZeroReturnError)),
    ("tls", (ssl.SSLError, urllib3.exceptions.SSLError, CertificateError)),
    ("refused", (ConnectionRefusedError,)),
    ("timeout", (TimeoutError, gevent.Timeout)),
    ("reset", (ConnectionError,)),
)

_NO_TLS = "the other end does not speak TLS: set collector.scheme = http, or the right port"
_UNKNOWN_AUTHORITY = (
    "name the file of its authority in collector.ca_file; or the collector sends too short a chain"
)

_NAME_MISMATCH = 62
# X509_V_ERR codes of OpenSSL's x509_vfy.h
_CERTIFICATE_REMEDIES = {
    9: "check this host's clock, or wait",
    10: "renew the collector's certificate, and check this host's clock",
    18: "name the file of this certificate in collector.ca_file",
    19: "name the file of its authority in collector.ca_file",
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    _NAME_MISMATCH: "set collector.hostname to a name in the certificate",
    64: "set collector.hostname to an address in the certificate",
}
_REMEDIES = (  # of the first whose words are in the error's reason
    ("ALERT", "check whether the collector accepts collector.client_certificate and this version of TLS"),
    ("KEY_VALUES_MISMATCH", "set collector.client_key to the key of collector.client_certificate"),
    ("WRONG_VERSION", _NO_TLS),
    ("HTTP_REQUEST", _NO_TLS),
    ("RECORD_LAYER", _NO_TLS),
    ("PACKET_LENGTH", _NO_TLS),
)


class Trouble(NamedTuple):
    """Why an attempt got no answer: a short fixed word, and what went wrong with what to do about it."""

    kind: str
    reason: str


def explain_failure(error: BaseException, *, guess: str = "") -> Trouble:
    """Return why an attempt that this error ended got no answer.

    Args:
        error: whatever was raised.
        guess: what to do, where the connection was reset and nothing else says why.
    """
    causes = tuple(_list_causes(error))
    kind = next((kind for cause in causes if (kind := _name_kind(cause))), "other")
    reason = str(error) or type(error).__name__
    if kind == "other" and not isinstance(error, OSError | NoAnswerError):
        reason = f"{type(error).__name__}: {reason}"
    remedy = next((remedy for cause in causes if (remedy := _find_remedy(cause))), "")
    remedy = remedy or (guess if kind == "reset" else "")
    return Trouble(kind, f"{reason}; {remedy}" if remedy else reason)


def _name_kind(error: BaseException) -> str:
    if isinstance(error, NoAnswerError):
        return error.kind
    for kind, types in _KINDS:
        if isinstance(error, types):
            return kind
    return "unreachable" if isinstance(error, OSError) and error.errno in UNREACHABLE else ""


def _find_remedy(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATE_REMEDIES.get(error.verify_code, "see collector.ca_file")
    if isinstance(error, CertificateError):  # urllib3 1 compares names itself
        return _CERTIFICATE_REMEDIES[_NAME_MISMATCH]
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        return next((remedy for words, remedy in _REMEDIES if words in reason), "")
    return ""


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
