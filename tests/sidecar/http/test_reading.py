"""Bytes -> one answer, whatever the bytes: `sidecar/http/reading.py`."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub.sidecar.http.errors import NoAnswerError
from eventpub.sidecar.http.reading import (
    MAX_ANSWER_BYTES,
    MAX_BODY_BYTES,
    MAX_LINES,
    AnswerReader,
    Received,
)

HEAD = b"HTTP/1.1 200 OK\r\n"
ANSWERS = [
    HEAD + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n003\r\nabc\r\n0\r\nX-Sum: 5\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    + HEAD
    + b"Content-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
]


class Stream:
    """Pieces of an answer, as a connection gives them; then its end."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.taken_bytes = 0
        self._pieces = (piece for piece in pieces if piece)

    def __call__(self) -> bytes:
        piece = next(self._pieces, b"")
        self.taken_bytes += len(piece)
        return piece


def read(*pieces: bytes) -> Received:
    return AnswerReader(Stream(pieces)).read()


def refuse(*pieces: bytes) -> NoAnswerError:
    with pytest.raises(NoAnswerError) as error:
        read(*pieces)
    return error.value


# --- to its end


@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 200)))
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(answer, cuts):
    places = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})
    pieces = [answer[start:end] for start, end in itertools.pairwise(places)]
    assert read(*pieces) == read(answer)
    assert read(answer).is_reusable


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_breaks_off_anywhere_is_no_answer(answer):
    """A17: what ends inside its headers has not said anything yet, whatever its status line says."""
    for cut in range(len(answer)):
        error = refuse(answer[:cut])
        assert error.kind == "reset", (cut, error)


def test_where_an_answer_broke_off_is_told():
    assert "in the headers of status 200" in str(refuse(HEAD + b"X-A: b\r\n"))
    assert "in the body of status 503" in str(refuse(b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nhalf"))


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 50,
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
        b"HTTP/1.1 199 Who knows\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
    ],
)
def test_informational_answers_are_read_past(interim):
    """A1: the answer behind them is this request's, and nothing of it is left for the next one."""
    received = read(interim + b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy")
    assert (received.status, received.body, received.is_reusable) == (503, b"busy", True)


def test_a_switch_of_protocols_that_nobody_asked_for_is_read_past_and_ends_the_connection():
    received = read(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" + ANSWERS[0])
    assert (received.status, received.is_reusable) == (200, False)


def test_informational_answers_without_an_answer_are_no_answer():
    assert refuse(b"HTTP/1.1 103 Early Hints\r\n\r\n").kind == "reset"


# --- what proves a connection

LENGTH = b"Content-Length: 2\r\n"


@pytest.mark.parametrize(
    ("answer", "is_reusable"),
    [
        (HEAD + LENGTH + b"\r\nok", True),
        (HEAD + LENGTH + b"Connection: keep-alive\r\n\r\nok", True),
        (HEAD + LENGTH + b"Connection: close\r\n\r\nok", False),
        (HEAD + LENGTH + b"Connection: Keep-Alive, CLOSE\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\nok", False),
        (b"HTTP/1.0 200 OK\r\n" + LENGTH + b"Connection: Keep-Alive\r\n\r\nok", True),
        (HEAD + LENGTH + b"\r\nok!", False),  # more than it said
        (HEAD + LENGTH + b"\r\nok" + ANSWERS[0], False),  # an answer that nobody asked for
        (HEAD + b"\r\nok", False),  # up to the end of the connection
        (HEAD + b"Content-Length: 2, 2\r\n\r\nok", False),
        (HEAD + LENGTH + LENGTH + b"\r\nok", False),
        (HEAD + b"Content-Length : 2\r\n\r\nok", False),
        (HEAD + LENGTH + b"X Proxy: yes\r\n\r\nok", False),
        (HEAD + LENGTH + b"X-Folded: a\r\n b\r\n\r\nok", False),
        (HEAD + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", False),
        (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", False),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", False),
        (HEAD + b"Transfer-Encoding: identity\r\n" + LENGTH + b"\r\nok", True),
    ],
)
def test_a_connection_is_proven_only_by_an_answer_that_ends_where_it_says(answer, is_reusable):
    received = read(answer)
    assert (received.status, received.body[:2], received.is_reusable) == (200, b"ok", is_reusable)


@pytest.mark.parametrize(
    ("answer", "is_reusable"),
    [
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", True),
    ],
)
def test_an_answer_without_a_body_has_none_whatever_it_says(answer, is_reusable):
    received = read(answer)
    assert (received.body, received.is_reusable) == (b"", is_reusable)


# --- lengths and chunks


@pytest.mark.parametrize(
    "length",
    ["-5", "+2", "2 2", "", "0x2", "2.0", "²", "٢", "2,", ",2", "2, 3", "two", "9" * 20, "9" * 5000, "2\x00"],
)
def test_a_length_that_is_none_is_no_answer(length):
    """A 200 with Content-Length: -5 counted as accepted."""
    error = refuse(HEAD + f"Content-Length: {length}\r\n\r\n".encode() + b"ok" * 99)
    assert error.kind == "malformed"


def test_two_different_lengths_are_no_answer():
    assert refuse(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok").kind == "malformed"


@pytest.mark.parametrize(
    "size", ["-1", "-0", "+2", "", " ", "g", "0x2", "2 2", "1_0", "٢", "F" * 16, "; a=b", "2.0"]
)
def test_a_chunk_size_that_is_none_is_no_answer(size):
    """B4: a negative one ended the process."""
    error = refuse(HEAD + f"Transfer-Encoding: chunked\r\n\r\n{size}\r\n".encode() + b"ok\r\n0\r\n\r\n")
    assert error.kind == "malformed"


def test_a_chunk_that_is_longer_than_it_says_is_no_answer():
    error = refuse(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\noken\r\n0\r\n\r\n")
    assert (error.kind, "longer than it says" in str(error)) == ("malformed", True)


# --- bounds


@pytest.mark.parametrize(
    "chunks",
    [
        [b"%x\r\n" % (MAX_BODY_BYTES + 1) + b"x" * (MAX_BODY_BYTES + 1) + b"\r\n0\r\n\r\n"],
        [b"4000\r\n" + b"x" * 0x4000 + b"\r\n"] * 5 + [b"0\r\n\r\n"],
    ],
)
def test_of_a_long_chunked_body_the_beginning_is_read_and_its_connection_is_not_used_again(chunks):
    received = read(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *chunks)
    assert (received.body, received.is_reusable) == (b"x" * MAX_BODY_BYTES, False)


def test_a_body_of_exactly_the_bound_is_read_whole_however_small_its_chunks():
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % MAX_BODY_BYTES + b"x" * MAX_BODY_BYTES
    for answer in (
        whole,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * MAX_BODY_BYTES + b"0\r\n\r\n",
    ):
        received = read(answer)
        assert (len(received.body), received.is_reusable) == (MAX_BODY_BYTES, True)


def endless(drop: bytes) -> Iterator[bytes]:
    return itertools.repeat(drop * (1 + 4096 // len(drop)))


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        (b"HTTP/1.1 200 ", b"O"),
        (HEAD, b"X-A: b\r\n"),
        (HEAD, b"\tfolded\r\n"),
        (HEAD, b"no header\r\n"),
        (HEAD + b"X-", b"y"),
        (HEAD + b"X-A: ", b"\x00"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"e"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-", b"y"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;ext=0123456789\r\nx\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 100),
    ],
)
def test_an_answer_without_an_end_is_given_up(start, drop):
    """B1."""
    stream = Stream(itertools.chain([start], endless(drop)))
    with pytest.raises(NoAnswerError) as error:
        AnswerReader(stream).read()
    assert error.value.kind == "malformed"
    assert stream.taken_bytes <= MAX_ANSWER_BYTES + 8192


def test_a_body_without_an_end_ends_at_the_bound():
    for start in (HEAD + b"\r\n", HEAD + b"Content-Length: 1000000000000\r\n\r\n"):
        stream = Stream(itertools.chain([start], endless(b"x")))
        received = AnswerReader(stream).read()
        assert (received.body, received.is_reusable) == (b"x" * MAX_BODY_BYTES, False)
        assert stream.taken_bytes <= MAX_BODY_BYTES + 8192


def test_as_many_headers_as_a_proxy_lets_through_are_read():
    received = read(HEAD + b"X-A: b\r\n" * (MAX_LINES - 10) + b"Content-Length: 0\r\n\r\n")
    assert received.is_reusable


# --- lines that are none


@pytest.mark.parametrize(
    "line",
    [
        b"X Proxy: yes",
        b"no colon at all",
        b": no name",
        b"\x00\xff",
        b"X-\xc3\xa9: a",
        b"X[1]: a",
        b"\r",
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_header_line_that_is_none_is_skipped(line, place):
    """B18: the lines behind it count; http.client stopped there and lost the length."""
    lines = [b"Content-Length: 2", b"Retry-After: 7"]
    lines.insert(place, line)
    received = read(HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\nok")
    assert (received.body, received.is_reusable) == (b"ok", False)
    assert received.fields["retry-after"].startswith("7")


def test_a_folded_line_belongs_to_the_one_before():
    head = HEAD + b" of none\r\nRetry-After: 7,\r\n\t8\r\nContent-Length: 2\r\n\r\nok"
    received = read(head)
    assert received.fields == {"retry-after": "7, 8", "content-length": "2"}
    assert not received.is_reusable
    assert refuse(HEAD + b"Content-Length: 2\r\n 2\r\n\r\nok").kind == "malformed"


def test_lines_may_end_in_a_mere_line_feed():
    received = read(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
    assert (received.body, received.is_reusable) == (b"ok", True)


def test_values_of_one_name_are_joined_and_trimmed():
    fields = read(HEAD + b"accept-ENCODING:gzip\r\nAccept-Encoding: \tzstd \r\nX-L: \xe9\r\n\r\n").fields
    assert fields == {"accept-encoding": "gzip, zstd", "x-l": "é"}


# --- no HTTP


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 mail.example ESMTP\r\n",
        b"\r\n\r\n",
        b"\x00",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 -200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told_as_soon_as_it_shows(garbage):
    """Nothing is waited for: another protocol may wait for us in turn."""

    def never() -> Iterator[bytes]:
        yield garbage
        raise AssertionError

    with pytest.raises(NoAnswerError) as error:
        AnswerReader(Stream(never())).read()
    assert error.value.kind == "other"


def test_tls_in_answer_to_plain_http_points_at_the_scheme():
    assert "collector.scheme = https" in str(refuse(b"\x15\x03\x01\x00\x02\x02\x46"))


@given(
    st.lists(
        st.binary()
        | st.sampled_from([*ANSWERS, HEAD, b"\r\n", LENGTH, b"0\r\n", b"Transfer-Encoding: chunked\r\n"])
    )
)
def test_whatever_bytes_come_they_are_an_answer_or_none(pieces):
    with contextlib.suppress(NoAnswerError):
        received = read(*pieces)
        assert 200 <= received.status <= 999
        assert len(received.body) <= MAX_BODY_BYTES
