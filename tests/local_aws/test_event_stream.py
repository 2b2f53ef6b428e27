"""The framing that we send, read by botocore's own parser."""

from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st
from sagechain.local_aws.inference import event_stream

names = st.text("abcdefgh:-", min_size=1, max_size=20)


@given(st.dictionaries(names, st.text(max_size=30), max_size=4), st.binary(max_size=300), st.integers(1, 50))
def test_botocore_reads_every_frame_however_it_is_split(headers: dict[str, str], payload: bytes, size: int) -> None:
    raw = event_stream.frame(headers, payload)
    buffer = EventStreamBuffer()
    for start in range(0, len(raw), size):
        buffer.add_data(raw[start : start + size])
    [event] = list(buffer)
    assert (event.headers, event.payload) == (headers, payload)


def test_an_error_event_is_read_as_one() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(event_stream.model_stream_error("it broke", "StreamBroken"))
    response = next(buffer).to_response_dict()
    assert response["status_code"] == 400
    assert response["body"] == b'{"Message": "it broke", "ErrorCode": "StreamBroken"}'
