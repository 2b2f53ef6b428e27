"""Tools over the `messages` wire, through boto3: what an endpoint receives, and the tool calls that it answers with."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.outputs import GenerationChunk
from sagechain.llms import PromptedChatModel, SageMakerLLM, errors
from sagechain.llms.chat.messages import TOOL_CALL_ERRORS
from sagechain.llms.generation import join_tool_calls
from sagechain.llms.wires import list_wires
from sagechain.prompts import ToolCallFormat

from tests.llms.chat_completions import CALL, CLOCK, HI, ROME, WEATHER, call_delta, events, reply, tool_call_deltas
from tests.scripted_server import ScriptedServer, split

TOOLS = ToolCallFormat((WEATHER, CLOCK))
WAYS = ("complete", "acomplete", "chunks", "achunks")
STREAM = events(
    {"role": "assistant", "content": ""},
    call_delta("", name="weather", call_id="c1"),
    call_delta('{"city": '),
    call_delta('"Rome"}'),
    usage={"prompt_tokens": 9, "completion_tokens": 3},
)


def endpoint(name: str, **settings: Any) -> SageMakerLLM:
    return SageMakerLLM(endpoint_name=name, wire="messages", max_retries=2, **settings)


def answer_chunks(llm: SageMakerLLM, way: str) -> list[GenerationChunk]:
    async def achunks() -> list[GenerationChunk]:
        return [chunk async for chunk in llm.achunks(HI, output_format=TOOLS)]

    if way == "complete":
        return llm.complete(HI, output_format=TOOLS)
    if way == "acomplete":
        return asyncio.run(llm.acomplete(HI, output_format=TOOLS))
    return list(llm.chunks(HI, output_format=TOOLS)) if way == "chunks" else asyncio.run(achunks())


def test_only_the_messages_wire_has_native_tools_and_schemas() -> None:
    for wire in list_wires():
        capabilities = SageMakerLLM(endpoint_name="x", wire=wire, region_name="eu-west-1").capabilities
        assert capabilities.native_tools == capabilities.constrained_decoding == (wire == "messages")


@pytest.mark.parametrize("way", WAYS)
def test_an_endpoint_receives_the_tools_and_its_tool_calls_are_returned(server: ScriptedServer, way: str) -> None:
    streams = "chunks" in way
    unary = reply({"content": None, "tool_calls": [CALL]})
    server.replies["calls"] = [STREAM if streams else unary]
    chunks = answer_chunks(endpoint("calls"), way)
    assert join_tool_calls(tool_call_deltas(chunks)) == [ROME]
    assert chunks[-1].generation_info is not None
    assert chunks[-1].generation_info["finish_reason"] == "tool_calls"
    assert json.loads(server.requests[-1]) == {
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": WEATHER}, {"type": "function", "function": CLOCK}],
        "tool_choice": "auto",
        "stream": streams,
        **({"stream_options": {"include_usage": True}} if streams else {}),
    }


@pytest.mark.parametrize("way", ["complete", "acomplete"])
def test_a_streamed_answer_that_is_joined_has_each_tool_call_once(server: ScriptedServer, way: str) -> None:
    server.replies["inside"] = [STREAM]
    [answer] = answer_chunks(endpoint("inside", streaming=True), way)
    assert (answer.text, answer.generation_info) == (
        "",
        {"input_tokens": 9, "output_tokens": 3, "tool_calls": [ROME], "finish_reason": "tool_calls"},
    )


def test_tool_calls_arrive_unchanged_however_the_bytes_are_split(server: ScriptedServer) -> None:
    llm = endpoint("split")

    @given(st.lists(st.integers(0, 2000), max_size=12))
    def check(cuts: list[int]) -> None:
        server.replies["split"] = split(STREAM, cuts)
        assert join_tool_calls(tool_call_deltas(list(llm.chunks(HI, output_format=TOOLS)))) == [ROME]

    check()


@pytest.mark.parametrize("streaming", [False, True])
def test_a_stream_that_breaks_inside_a_tool_call_is_not_requested_again(
    server: ScriptedServer, streaming: bool
) -> None:
    server.replies["cut"] = [STREAM.partition(b'data: {"choices": [{"index": 0, "delta": {}')[0]]
    before = len(server.requests)
    with pytest.raises(errors.StreamInterrupted) as caught:
        answer_chunks(endpoint("cut", streaming=streaming), "complete" if streaming else "chunks")
    assert caught.value.partial_text == ""
    assert len(server.requests) == before + 1


def test_a_stream_with_invalid_tool_calls_is_a_malformed_response(server: ScriptedServer) -> None:
    server.replies["shape"] = [events({"tool_calls": ["weather"]})]
    with pytest.raises(errors.MalformedResponse, match="unexpected shape"):
        answer_chunks(endpoint("shape"), "chunks")
    server.replies["shape"] = [reply({"content": None})]
    with pytest.raises(errors.MalformedResponse, match="unexpected shape"):
        answer_chunks(endpoint("shape"), "complete")


CLIPPED = [
    pytest.param('{"city": "Ro', id="inside a text"),
    pytest.param('{"city": "Ro\\', id="inside an escape"),
    pytest.param('{"city": ["Rome"', id="inside an array"),
    pytest.param('{"city": 1', id="after a number"),
    pytest.param("", id="before all arguments"),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("arguments", CLIPPED)
def test_a_truncated_tool_call_is_invalid(server: ScriptedServer, arguments: str, streamed: bool) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    unary = reply({"content": None, "tool_calls": [call]}, "length")
    chunks = [call_delta("", name="weather", call_id="c1"), *(call_delta(character) for character in arguments)]
    server.replies["clipped"] = [events(*chunks, reason="length") if streamed else unary]
    chat = PromptedChatModel(llm=endpoint("clipped")).bind_tools([WEATHER])
    message = sum_of(chat.stream("Hi")) if streamed else chat.invoke("Hi")
    assert message.tool_calls == []
    [invalid] = message.invalid_tool_calls
    assert (invalid["name"], invalid["id"]) == ("weather", "c1")
    assert (invalid["args"] or "").startswith(arguments)
    assert message.response_metadata[TOOL_CALL_ERRORS] == {"c1": "arguments: the token limit cut them"}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_call_that_is_complete_at_the_token_limit_is_valid(server: ScriptedServer, streamed: bool) -> None:
    chunks = events(call_delta('{"city": "Rome"}', name="weather", call_id="c1"), reason="length")
    unary = reply({"content": None, "tool_calls": [CALL]}, "length")
    server.replies["whole"] = [chunks if streamed else unary]
    chat = PromptedChatModel(llm=endpoint("whole")).bind_tools([WEATHER])
    message = sum_of(chat.stream("Hi")) if streamed else chat.invoke("Hi")
    assert [call["args"] for call in message.tool_calls] == [{"city": "Rome"}]
    assert TOOL_CALL_ERRORS not in message.response_metadata


@pytest.mark.parametrize("streamed", [False, True])
def test_tool_calls_without_ids_get_ids_that_results_can_name(server: ScriptedServer, streamed: bool) -> None:
    calls = [{"function": CALL["function"]}, {"function": CALL["function"]}]
    chunks = events(*({"tool_calls": [{"index": i, **call}]} for i, call in enumerate(calls)))
    server.replies["nameless"] = [chunks if streamed else reply({"tool_calls": calls})]
    chat = PromptedChatModel(llm=endpoint("nameless")).bind_tools([WEATHER])
    message = sum_of(chat.stream("Hi")) if streamed else chat.invoke("Hi")
    assert len({call["id"] for call in message.tool_calls if call["id"]}) == 2


def sum_of(chunks: Iterator[Any]) -> Any:
    whole = next(chunks)
    for chunk in chunks:
        whole += chunk
    return whole
