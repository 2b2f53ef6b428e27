"""A reply in another wire's format is read, or its error names that wire; any JSON is an answer or an error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.outputs import GenerationChunk
from sagechain.llms import SageMakerLLM, errors
from sagechain.llms.wires import get_wire, list_wires
from sagechain.llms.wires.lines import MAX_EVENT_BYTES
from sagechain.llms.wires.wire_error import WireError

from tests.scripted_server import ScriptedServer

STREAMING = [wire for wire in list_wires() if get_wire(wire).streams]
TOKENS = [
    {"token": {"id": 1, "text": "Par"}, "generated_text": None},
    {"token": {"id": 2, "text": "is"}, "generated_text": "Paris", "details": {"finish_reason": "length"}},
]
DELTAS = [
    {"choices": [{"index": 0, "delta": {"content": "Paris"}}]},
    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
]
WHOLE: dict[str, Any] = {
    "tgi": [{"generated_text": "Paris", "details": {"finish_reason": "eos_token"}}],
    "lmi": {"generated_text": "Paris"},
    "hf": [{"generated_text": "Paris"}],
    "messages": {"choices": [{"message": {"content": "Paris"}, "finish_reason": "stop"}]},
    "llama2-text": [{"generation": "Paris"}],
    "llama2-dialog": [{"generation": {"role": "assistant", "content": "Paris"}}],
}
READ_BY_SEVERAL = {("tgi", "lmi"), ("lmi", "tgi"), ("tgi", "hf"), ("hf", "tgi"), ("hf", "lmi")}


def sse(*events: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def json_lines(*events: Any) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


STREAMS = {"tgi": sse(*TOKENS), "lmi": json_lines(*TOKENS), "messages": sse(*DELTAS) + b"data: [DONE]\n\n"}


def decode(wire: str, stream: bytes) -> str:
    decoder = get_wire(wire).decoder()
    text = "".join(chunk.text for chunk in (*decoder.feed(stream), *decoder.flush()))
    assert decoder.ended
    return text


@pytest.mark.parametrize("wire", list_wires())
@pytest.mark.parametrize("sent", sorted(WHOLE))
def test_a_whole_reply_of_another_wire_is_read_or_the_error_names_that_wire(sent: str, wire: str) -> None:
    body = json.dumps(WHOLE[sent]).encode()
    if sent == wire or (sent, wire) in READ_BY_SEVERAL:
        [answer] = get_wire(wire).parse_reply(body)
        assert answer.text == "Paris"
    else:
        with pytest.raises(WireError) as caught:
            get_wire(wire).parse_reply(body)
        assert f"`?wire={sent}`" in caught.value.hint


@pytest.mark.parametrize("wire", STREAMING)
@pytest.mark.parametrize("sent", sorted(STREAMS))
def test_a_stream_of_another_wire_is_read_or_the_error_names_that_wire(sent: str, wire: str) -> None:
    if sent == wire or {sent, wire} == {"tgi", "lmi"}:
        assert decode(wire, STREAMS[sent]) == "Paris"
    else:
        with pytest.raises(WireError) as caught:
            decode(wire, STREAMS[sent])
        assert f"`?wire={sent}`" in caught.value.hint


@pytest.mark.parametrize("wire", STREAMING)
@pytest.mark.parametrize("sent", sorted(WHOLE))
@pytest.mark.parametrize("prefix", [b"", b"data: "])
def test_a_whole_reply_where_a_stream_was_requested_names_the_wire(sent: str, wire: str, prefix: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode(wire, prefix + json.dumps(WHOLE[sent]).encode() + b"\n\n")
    assert f"`?wire={sent}`" in caught.value.hint


def test_the_advice_of_the_public_error_is_the_right_wire(server: ScriptedServer) -> None:
    server.replies["other"] = [json.dumps(WHOLE["messages"]).encode()]
    with pytest.raises(errors.MalformedResponse) as caught:
        SageMakerLLM(endpoint_name="other", wire="tgi", max_retries=0).invoke("Hi")
    assert caught.value.advice == "This is the format of `?wire=messages`."
    assert str(caught.value).endswith(caught.value.advice)


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        ("tgi", [{"generated_text": None}]),
        ("hf", [{"generated_text": [{"role": "user", "content": "Hi"}]}]),
        ("messages", [WHOLE["messages"]]),
    ],
)
def test_a_broken_reply_of_the_right_wire_does_not_advise_that_wire(
    wire: str, reply: Any, server: ScriptedServer
) -> None:
    server.replies["other"] = [json.dumps(reply).encode()]
    with pytest.raises(errors.MalformedResponse) as caught:
        SageMakerLLM(endpoint_name="other", wire=wire, max_retries=0).invoke("Hi")
    assert f"?wire={wire}" not in str(caught.value)


@pytest.mark.parametrize("wire", list_wires())
@pytest.mark.parametrize("reply", [{"outputs": ["Paris"]}, [{"outputs": "Paris"}]])
def test_the_format_of_older_lmi_containers_is_named(wire: str, reply: Any) -> None:
    with pytest.raises(WireError) as caught:
        get_wire(wire).parse_reply(json.dumps(reply).encode())
    assert "older LMI containers (DJL 0.25 and before" in caught.value.hint
    if get_wire(wire).streams:
        with pytest.raises(WireError) as caught:
            decode(wire, json_lines(reply, reply))
        assert "older LMI containers" in caught.value.hint


def test_text_completions_are_named() -> None:
    for choice in ({"text": "Paris", "finish_reason": "stop"}, {"text": "Par", "index": 0, "finish_reason": None}):
        for read in (lambda body: get_wire("messages").parse_reply(body), lambda body: decode("tgi", body)):
            with pytest.raises(WireError) as caught:
                read(json.dumps({"choices": [choice]}).encode())
            assert "OpenAI's text completions" in caught.value.hint


# Everything a server may send

values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 600) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
KNOWN = [
    *(
        "choices",
        "message",
        "delta",
        "content",
        "tool_calls",
        "function",
        "function_call",
        "name",
        "arguments",
        "index",
    ),
    *(
        "id",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "reasoning_content",
        "reasoning",
        "refusal",
    ),
    *("type", "text", "thinking", "error", "code", "detail", "object", "token", "special", "generated_text", "details"),
    *("generated_tokens", "error_msg", "generation", "outputs", "role"),
]
replies = st.recursive(
    values | st.sampled_from(["text", "stop", "error", "ping", "refusal", "thinking", "{}", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KNOWN), inner, max_size=5),
    max_leaves=25,
)
choices = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(KNOWN[1:8], replies)), max_size=2)},
    optional={"usage": replies},
)
tool_calls = st.lists(st.fixed_dictionaries({}, optional={"function": replies, "index": replies, "id": replies}))
calling = st.builds(
    lambda key, calls, reason: {"choices": [{key: {"content": None, "tool_calls": calls}, "finish_reason": reason}]},
    st.sampled_from(["message", "delta"]),
    tool_calls,
    st.sampled_from(["stop", None]),
)
tokens = st.fixed_dictionaries({"token": replies}, optional={"generated_text": replies, "details": replies})
anything = replies | choices | calling | tokens | st.lists(tokens | choices, max_size=2)


def is_valid(answers: list[GenerationChunk]) -> bool:
    return all(isinstance(answer.text, str) for answer in answers)


@pytest.mark.parametrize("wire", list_wires())
@given(reply=anything)
def test_any_json_as_a_whole_reply_is_answers_or_an_error(wire: str, reply: Any) -> None:
    try:
        answers = get_wire(wire).parse_reply(json.dumps(reply).encode())
    except WireError:
        return
    assert answers
    assert is_valid(answers)


@pytest.mark.parametrize("wire", STREAMING)
@given(events=st.lists(anything, max_size=4), form=st.sampled_from([sse, json_lines]), name=st.text(max_size=3))
def test_any_json_as_a_stream_is_answers_or_an_error(wire: str, events: list[Any], form: Any, name: str) -> None:
    decoder = get_wire(wire).decoder()
    try:
        chunks = [*decoder.feed(f"event: {name}\n\n".encode()), *decoder.feed(form(*events)), *decoder.flush()]
    except WireError:
        return
    assert is_valid(chunks)


@pytest.mark.parametrize("wire", STREAMING)
@given(
    lines=st.lists(
        st.binary(max_size=12) | st.sampled_from([b"data:", b"data: {", b"}", b"[DONE]", b"\r", b"event: error"])
    )
)
def test_any_bytes_as_a_stream_are_answers_or_an_error(wire: str, lines: list[bytes]) -> None:
    decoder = get_wire(wire).decoder()
    try:
        chunks = [chunk for line in lines for chunk in decoder.feed(line + b"\n")] + list(decoder.flush())
    except WireError:
        return
    assert is_valid(chunks)


@pytest.mark.parametrize("body", [b"[" * 900 + b"]" * 900, b'{"choices":' + b"[" * 900 + b"]" * 900 + b"}"])
def test_deeply_nested_json_is_an_error(body: bytes) -> None:
    for wire in list_wires():
        with pytest.raises(WireError):
            get_wire(wire).parse_reply(body)
    for wire in STREAMING:
        with pytest.raises(WireError):
            decode(wire, b"data: " + body)


def test_a_line_without_end_is_an_error_before_it_fills_the_memory() -> None:
    decoder = get_wire("tgi").decoder()
    for _ in range(MAX_EVENT_BYTES // 2**20):
        assert list(decoder.feed(b"x" * 2**20)) == []
    with pytest.raises(WireError, match="more than 16777216 bytes"):
        list(decoder.feed(b"x"))
