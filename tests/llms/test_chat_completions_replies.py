"""What the `messages` wire reads: whole replies and streams of every server, unusual ones too."""

from collections.abc import Sequence
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import ToolMessage
from langchain_core.outputs import GenerationChunk
from sagechain.llms import errors
from sagechain.llms.generation import join_tool_calls
from sagechain.llms.wires import get_wire
from sagechain.llms.wires.wire_error import WireError

from tests.llms.chat_completions import CALL, ROME, ROME_WITHOUT_ID, call_delta, events, reply, tool_call_deltas
from tests.scripted_server import split


def parse_message(message: dict[str, Any], reason: str | None = "tool_calls") -> GenerationChunk:
    [answer] = get_wire("messages").parse_reply(reply(message, reason))
    return answer


def decode(stream: Sequence[bytes]) -> list[GenerationChunk]:
    decoder = get_wire("messages").decoder()
    return [chunk for data in stream for chunk in decoder.feed(data)] + list(decoder.flush())


@pytest.mark.parametrize("reason", ["tool_calls", "stop", "eos_token", "function_call"])
def test_the_finish_reason_of_a_reply_with_tool_calls_is_tool_calls(reason: str) -> None:
    answer = parse_message({"content": None, "tool_calls": [CALL]}, reason)
    assert (answer.text, answer.generation_info) == ("", {"finish_reason": "tool_calls", "tool_calls": [ROME]})


def test_the_finish_reason_of_truncated_tool_calls_stays_length() -> None:
    answer = parse_message({"content": "", "tool_calls": [CALL]}, "length")
    assert answer.generation_info == {"finish_reason": "length", "tool_calls": [ROME]}


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        pytest.param({"tool_calls": [CALL, {**CALL, "id": "c2"}]}, [ROME, ROME | {"index": 1, "id": "c2"}], id="two"),
        pytest.param({"tool_calls": [CALL, CALL]}, [ROME, ROME | {"index": 1}], id="two of one id"),
        pytest.param({"tool_calls": CALL}, [ROME], id="a bare object"),
        pytest.param(
            {"tool_calls": [{"function": {"name": "clock", "arguments": {"zone": "CET"}}}]},
            [{"index": 0, "id": ANY, "name": "clock", "arguments": '{"zone": "CET"}'}],
            id="no id, and arguments as an object",
        ),
        pytest.param(
            {"tool_calls": [{"function": {"name": "clock", "arguments": None}}]},
            [{"index": 0, "id": ANY, "name": "clock", "arguments": ""}],
            id="no arguments",
        ),
        pytest.param(
            {"tool_calls": [{**CALL, "function": {"name": "weather", "arguments": "{'city': "}}]},
            [ROME | {"arguments": "{'city': "}],
            id="arguments that are not JSON",
        ),
        pytest.param(
            {"content": None, "tool_calls": [], "function_call": {"name": "clock", "arguments": "{}"}},
            [{"index": 0, "id": ANY, "name": "clock", "arguments": "{}"}],
            id="a function instead of a tool",
        ),
    ],
)
def test_tool_calls_of_every_server_are_read(message: dict[str, Any], calls: list[dict[str, Any]]) -> None:
    answer = parse_message(message)
    assert answer.generation_info == {"finish_reason": "tool_calls", "tool_calls": calls}


@pytest.mark.parametrize(
    "message",
    [
        {"content": None},
        {"content": None, "tool_calls": []},
        {"content": None, "tool_calls": None, "function_call": None},
        {"content": None, "tool_calls": "weather"},
        {"content": None, "tool_calls": [None]},
        {"content": None, "tool_calls": [{"id": "c1"}]},
        {"content": None, "tool_calls": [{"id": 1, "function": {"name": "weather"}}]},
        {"content": None, "tool_calls": [{"id": "c", "function": {"name": ["weather"]}}]},
        {"content": None, "tool_calls": [{"id": "c", "function": "weather"}]},
        {"content": None, "function_call": "weather"},
        {"content": 3, "tool_calls": [CALL]},
    ],
)
def test_a_reply_without_an_answer_or_with_invalid_tool_calls_is_malformed(message: dict[str, Any]) -> None:
    with pytest.raises(WireError, match="unexpected shape") as caught:
        parse_message(message)
    assert caught.value.public_class == errors.MalformedResponse


def test_streamed_tool_calls_are_passed_on_as_they_arrive() -> None:
    stream = events(
        {"role": "assistant", "content": "Wait. "},
        call_delta("", name="weather", call_id="c1"),
        call_delta('{"city": '),
        call_delta('"Rome"}'),
        call_delta("{}", index=1, name="clock", call_id="c2"),
    )
    chunks = decode([stream])
    assert "".join(chunk.text for chunk in chunks) == "Wait. "
    assert tool_call_deltas(chunks) == [
        {"index": 0, "id": "c1", "name": "weather", "arguments": ""},
        {"index": 0, "id": None, "name": None, "arguments": '{"city": '},
        {"index": 0, "id": None, "name": None, "arguments": '"Rome"}'},
        {"index": 1, "id": "c2", "name": "clock", "arguments": "{}"},
    ]
    assert chunks[-1].generation_info == {"finish_reason": "tool_calls"}


ODD_STREAMS = [
    pytest.param([{"tool_calls": [CALL]}], [ROME], id="the whole call in one delta, without index"),
    pytest.param([{"tool_calls": CALL}], [ROME], id="a bare object"),
    pytest.param(
        [{"tool_calls": [CALL, {**CALL, "id": "c2"}]}], [ROME, ROME | {"index": 1, "id": "c2"}], id="two, without index"
    ),
    pytest.param(
        [{"tool_calls": [{"function": CALL["function"]}, {"function": CALL["function"]}]}],
        [ROME_WITHOUT_ID, ROME_WITHOUT_ID | {"index": 1}],
        id="two, without index and id",
    ),
    pytest.param(
        [call_delta('{"city": ', index=None, name="weather", call_id="c1"), call_delta('"Rome"}', index=None)],
        [ROME],
        id="in several deltas, without index",
    ),
    pytest.param(
        [call_delta('{"city": ', name="weather", call_id="c1"), call_delta('"Rome"}', name="weather", call_id="c1")],
        [ROME],
        id="id and name in every delta",
    ),
    pytest.param(
        [call_delta('{"city": ', name="weather", call_id="c1"), call_delta('"Rome"}', name="", call_id="")],
        [ROME],
        id="empty id and name in further deltas",
    ),
    pytest.param([call_delta({"city": "Rome"}, name="weather")], [ROME_WITHOUT_ID], id="arguments as an object"),
    pytest.param(
        [call_delta(None, name="weather", call_id="c1"), call_delta('{"city": "Rome"}')],
        [ROME],
        id="arguments that are null at first",
    ),
    pytest.param(
        [
            {"content": None, "function_call": {"name": "weather", "arguments": '{"city": '}},
            {"function_call": {"arguments": '"Rome"}'}},
        ],
        [ROME_WITHOUT_ID],
        id="a function instead of a tool",
    ),
]


@pytest.mark.parametrize("reason", ["tool_calls", "stop", "eos_token"])
@pytest.mark.parametrize(("deltas", "calls"), ODD_STREAMS)
def test_streams_of_every_server_give_the_same_tool_calls(
    deltas: list[dict[str, Any]], calls: list[dict[str, Any]], reason: str
) -> None:
    chunks = decode([events(*deltas, reason=reason)])
    assert join_tool_calls(tool_call_deltas(chunks)) == calls
    assert chunks[-1].generation_info == {"finish_reason": "tool_calls"}


def test_tool_calls_without_ids_get_different_ids() -> None:
    bare = {"function": {"name": "clock", "arguments": "{}"}}
    whole = (parse_message({"tool_calls": [bare, bare]}).generation_info or {})["tool_calls"]
    streamed = join_tool_calls(tool_call_deltas(decode([events({"tool_calls": [bare, bare]})])))
    ids = {call["id"] for call in (*whole, *streamed)}
    assert len(ids) == 4
    assert all(ToolMessage("12:00", tool_call_id=each).tool_call_id == each for each in ids)


@pytest.mark.parametrize("call", ["weather", [None], [{"index": 0, "function": "x"}], [{"id": 3, "index": 0}]])
def test_invalid_tool_calls_in_a_stream_are_malformed(call: Any) -> None:
    with pytest.raises(WireError, match="unexpected shape"):
        decode([events({"tool_calls": call})])


texts = st.text(max_size=6)
whole = st.lists(st.tuples(st.text(min_size=1, max_size=4), st.lists(texts, max_size=4)), min_size=1, max_size=3)


@given(st.lists(texts, max_size=3), whole, st.lists(st.integers(0, 4000), max_size=12), st.booleans())
def test_text_and_tool_calls_arrive_unchanged_however_deltas_and_bytes_are_split(
    content: list[str], calls: list[tuple[str, list[str]]], cuts: list[int], indexed: bool
) -> None:
    deltas: list[dict[str, Any]] = [{"content": text} for text in content]
    for number, (name, arguments) in enumerate(calls):
        index = number if indexed else None
        deltas.append(call_delta("", index=index, name=name, call_id=f"c{number}"))
        deltas += [call_delta(part, index=index) for part in arguments]
    chunks = decode(split(events(*deltas), cuts))
    assert "".join(chunk.text for chunk in chunks) == "".join(content)
    assert join_tool_calls(tool_call_deltas(chunks)) == [
        {"index": number, "id": f"c{number}", "name": name, "arguments": "".join(arguments)}
        for number, (name, arguments) in enumerate(calls)
    ]
