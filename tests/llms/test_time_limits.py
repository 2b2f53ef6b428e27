"""`timeout`: a whole generation; in a stream the time to the first chunk, and between chunks. Whatever the server sends."""

import itertools
import time
from collections.abc import Iterable, Iterator

import pytest
from sagechain.llms import SageMakerLLM, errors
from sagechain.local_aws.inference import event_stream

from tests.raw_server import HEADERS, WHOLE, Reply, chunk, raw_server, token
from tests.waiting import wait_until

FRAME = event_stream.payload_part(b" " * 1000)
END = token("", last=True) + b"0\r\n\r\n"


def model(url: str, timeout: float) -> SageMakerLLM:
    return SageMakerLLM(
        endpoint_name="e", family="falcon", timeout=timeout, max_retries=0, endpoint_url=url, region_name="us-east-1"
    )


def dribble(data: bytes) -> Iterable[bytes | float]:
    """One byte after another, for ever the last one."""
    for byte in itertools.chain(data, itertools.repeat(data[-1])):
        yield bytes([byte])
        yield 0.02


def slowly(*parts: bytes | float) -> Reply:
    return lambda: parts


@pytest.mark.parametrize("gaps", [(0.6, 0.6, 0.0), (0.0, 0.6, 0.6)])
def test_each_gap_of_a_stream_may_be_as_long_as_the_limit_however_late_the_headers_came(
    gaps: tuple[float, float, float],
) -> None:
    reply = slowly(gaps[0], HEADERS + token("a"), gaps[1], token(" b"), gaps[2], token(" c"), END)
    with raw_server(reply) as server:
        assert "".join(model(server.url, 1.0).stream("hi")) == "a b c"


def test_a_gap_longer_than_the_limit_interrupts_the_stream() -> None:
    with (
        raw_server(slowly(0.2, HEADERS + token("a"), token(" b"), 30.0, END)) as server,
        pytest.raises(errors.StreamInterrupted, match="in time") as caught,
    ):
        list(model(server.url, 0.4).stream("hi"))
    assert caught.value.partial_text == "a b"


DRIBBLING = {
    "the status line": lambda: dribble(b"HTTP/1.1 200 OK"),
    "a header": lambda: itertools.chain([b"HTTP/1.1 200 OK\r\n"], dribble(b"X-Long: 1")),
    "the size of a chunk": lambda: itertools.chain([HEADERS], dribble(b"0")),
    "a frame": lambda: itertools.chain([HEADERS], *((chunk(bytes([byte])), 0.02) for byte in FRAME)),
    "a trailer": lambda: itertools.chain([HEADERS, b"0\r\n"], dribble(b"X")),
    "comments": lambda: itertools.chain(
        [HEADERS], itertools.cycle([chunk(event_stream.payload_part(b": ping\n\n")), 0.02])
    ),
    "blank lines": lambda: itertools.chain([HEADERS], itertools.cycle([chunk(event_stream.payload_part(b"\n")), 0.02])),
    "tokens without text": lambda: itertools.chain([HEADERS], itertools.cycle([token(""), 0.02])),
}


@pytest.mark.parametrize("reply", [pytest.param(reply, id=name) for name, reply in DRIBBLING.items()])
def test_a_stream_of_anything_but_text_ends_at_the_limit(reply: Reply) -> None:
    with raw_server(reply) as server:
        with pytest.raises(errors.TimedOut):
            list(model(server.url, 0.3).stream("hi"))
        wait_until(lambda: server.connections == 0, 5)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(lambda: itertools.chain([WHOLE + b"Content-Length: 99\r\n\r\n"], dribble(b"[ ")), id="length"),
        pytest.param(lambda: itertools.chain([WHOLE + b"Connection: close\r\n\r\n"], dribble(b"[ ")), id="close"),
        pytest.param(lambda: itertools.chain([HEADERS, b"1\r\n[\r\n"], dribble(b"0")), id="chunked"),
    ],
)
def test_a_whole_reply_that_dribbles_ends_at_the_limit(reply: Reply) -> None:
    with raw_server(reply) as server, pytest.raises(errors.TimedOut):
        model(server.url, 0.3).invoke("hi")


def test_the_limit_of_a_whole_reply_includes_the_retries() -> None:
    busy = slowly(0.1, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    with raw_server(busy) as server, pytest.raises((errors.ServiceFailed, errors.TimedOut)):
        model(server.url, 0.5).with_fields(max_retries=1000).invoke("hi")
    assert 1 <= server.requests < 10


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(lambda: dribble(b"0"), id="the size of a chunk"),
        pytest.param(lambda: itertools.cycle([chunk(b"\0"), 0.02]), id="chunks"),
        pytest.param(lambda: [60.0], id="nothing"),
    ],
)
def test_what_follows_the_end_of_an_answer_holds_it_up_for_a_moment_only(after: Reply) -> None:
    def reply() -> Iterator[bytes | float]:
        yield HEADERS + token("a") + token("", last=True)
        yield from after()

    with raw_server(reply) as server:
        began = time.monotonic()
        assert "".join(model(server.url, 60).stream("hi")) == "a"
        assert time.monotonic() - began < 30  # of the 60 that a read may take
