"""The `messages` wire with the server's own tools: what goes out, and the calls that servers answer with, odd ones too."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import GenerationChunk
from sagechain.llms import GenerationParameters, PromptedChatModel, SageMakerLLM, errors
from sagechain.llms.chat.messages import TOOL_CALL_ERRORS
from sagechain.llms.generation import join_tool_calls
from sagechain.llms.wires import get_wire, list_wires
from sagechain.llms.wires.wire_error import WireError
from sagechain.prompts import JsonFormat, OutputFormat, ToolCallFormat

from tests.scripted_server import ScriptedServer, split

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "weather", "description": "The weather in a city.", "parameters": SCHEMA}
CLOCK = {"name": "clock", "description": "The time.", "parameters": {"type": "object", "properties": {}}}
TOOLS = ToolCallFormat((WEATHER, CLOCK))
ASKED = [HumanMessage("Hi")]


def body(messages: Sequence[BaseMessage], output_format: OutputFormat | None = None) -> dict[str, Any]:
    sent = get_wire("messages").request(
        messages, GenerationParameters(max_new_tokens=5), stream=False, output_format=output_format
    )
    assert json.loads(json.dumps(sent)) == sent
    return sent


def sent(*messages: BaseMessage) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = body(list(messages))["messages"]
    return told


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("auto", "auto"),
        ("any", "required"),
        ("none", "none"),
        ("clock", {"type": "function", "function": {"name": "clock"}}),
    ],
)
def test_tools_and_the_choice_among_them_go_out_in_openais_form(choice: str, told: Any) -> None:
    assert body(ASKED, ToolCallFormat((WEATHER, CLOCK), choice)) == {
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": WEATHER}, {"type": "function", "function": CLOCK}],
        "tool_choice": told,
        "max_tokens": 5,
        "stream": False,
    }


def test_one_call_at_a_time_is_asked_for_only_where_it_is_wanted() -> None:
    assert body(ASKED, ToolCallFormat((CLOCK,), parallel=False))["parallel_tool_calls"] is False
    assert body(ASKED, ToolCallFormat(())) == body(ASKED)


def test_json_of_a_schema_is_the_servers_own_response_format() -> None:
    assert body(ASKED, JsonFormat())["response_format"] == {"type": "json_object"}
    assert body(ASKED, JsonFormat(SCHEMA, "place"))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
    }


def test_calls_and_their_results_go_out_as_the_server_wants_them() -> None:
    calls = [
        {"name": "weather", "args": {"city": "Zürich"}, "id": "c1"},
        {"name": "clock", "args": {}, "id": None},
    ]
    assert sent(
        SystemMessage("Be brief."),
        HumanMessage("Weather?", name="Ann Lee"),
        AIMessage("", tool_calls=calls, name="clerk"),
        ToolMessage("rain", tool_call_id="c1", name="weather"),
        ToolMessage([{"type": "text", "text": "12:00"}], tool_call_id="call_2_1"),
        AIMessage([{"type": "text", "text": "It "}, {"type": "text", "text": "rains."}]),
        HumanMessage(["And ", {"type": "text", "text": "now?"}]),
    ) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?", "name": "Ann_Lee"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Zürich"}'}},
                {"id": "call_2_1", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
            ],
            "name": "clerk",
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain", "name": "weather"},
        {"role": "tool", "tool_call_id": "call_2_1", "content": "12:00"},
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "And now?"},
    ]


def test_text_beside_calls_goes_out_with_them() -> None:
    [told] = sent(AIMessage("Let me look.", tool_calls=[{"name": "clock", "args": {}, "id": "c"}]))
    assert (told["content"], len(told["tool_calls"])) == ("Let me look.", 1)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no such city", "Error: no such city"),
        ("Error: no such city", "Error: no such city"),
        ([{"type": "image_url", "image_url": {"url": "data:x"}}], [{"type": "text", "text": "Error:"}, ...]),
    ],
)
def test_a_tool_that_failed_is_seen_to_have_failed(content: Any, told: Any) -> None:
    [message] = sent(ToolMessage(content, tool_call_id="c", status="error"))
    assert message["role"] == "tool"
    assert message["content"] == (told if isinstance(told, str) else [told[0], *content])


def test_a_call_that_could_not_be_read_is_text_and_its_result_the_users() -> None:
    broken = {"name": "weather", "args": '{"city": ', "id": "c9", "error": "cut"}
    assert sent(
        AIMessage("Wait.", invalid_tool_calls=[broken]), ToolMessage("bad JSON", tool_call_id="c9", status="error")
    ) == [
        {"role": "assistant", "content": 'Wait.\nInvalid tool call: weather({"city": )'},
        {"role": "user", "content": "Error: bad JSON"},
    ]


def test_pictures_go_out_as_they_are() -> None:
    parts: list[str | dict[str, Any]] = [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
    ]
    assert sent(HumanMessage(parts)) == [{"role": "user", "content": parts}]


# Replies

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
READ = {"index": 0, "id": "c1", "name": "weather", "arguments": '{"city": "Rome"}'}


def reply(message: dict[str, Any], reason: str | None = "tool_calls") -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}]}


def read(message: dict[str, Any], reason: str | None = "tool_calls") -> GenerationChunk:
    [answer] = get_wire("messages").parse_reply(json.dumps(reply(message, reason)).encode())
    return answer


@pytest.mark.parametrize("reason", ["tool_calls", "stop", "eos_token", "function_call"])
def test_a_reply_with_calls_says_so_whatever_reason_the_server_gives(reason: str) -> None:
    answer = read({"content": None, "tool_calls": [CALL]}, reason)
    assert (answer.text, answer.generation_info) == ("", {"finish_reason": "tool_calls", "tool_calls": [READ]})


def test_calls_that_were_cut_at_the_limit_keep_that_reason() -> None:
    answer = read({"content": "", "tool_calls": [CALL]}, "length")
    assert answer.generation_info == {"finish_reason": "length", "tool_calls": [READ]}


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        pytest.param({"tool_calls": [CALL, {**CALL, "id": "c2"}]}, [READ, READ | {"index": 1, "id": "c2"}], id="two"),
        pytest.param({"tool_calls": [CALL, CALL]}, [READ, READ | {"index": 1}], id="two of one id"),
        pytest.param({"tool_calls": CALL}, [READ], id="a bare object"),
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
            [READ | {"arguments": "{'city': "}],
            id="arguments that are not JSON",
        ),
        pytest.param(
            {"content": None, "tool_calls": [], "function_call": {"name": "clock", "arguments": "{}"}},
            [{"index": 0, "id": ANY, "name": "clock", "arguments": "{}"}],
            id="a function of before there were tools",
        ),
    ],
)
def test_calls_of_every_server_are_read(message: dict[str, Any], calls: list[dict[str, Any]]) -> None:
    answer = read(message)
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
def test_a_reply_without_an_answer_or_with_calls_of_another_shape_is_malformed(message: dict[str, Any]) -> None:
    with pytest.raises(WireError, match="unexpected shape") as caught:
        read(message)
    assert caught.value.kind == "malformed"


# Streams


def events(*deltas: dict[str, Any], reason: str | None = "tool_calls", **more: Any) -> bytes:
    """A stream of these deltas."""
    told = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more} for delta in deltas]
    end = [{"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], **more}] if reason else []
    lines = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode() for event in [*told, *end]]
    return b"".join(lines) + b"data: [DONE]\n\n"


def pieces(raw: list[bytes]) -> list[GenerationChunk]:
    decoder = get_wire("messages").decoder()
    return [piece for data in raw for piece in decoder.feed(data)] + list(decoder.flush())


def calls_of(chunks: list[GenerationChunk]) -> list[dict[str, Any]]:
    return [delta for chunk in chunks for delta in (chunk.generation_info or {}).get("tool_calls", [])]


def piece(arguments: Any, *, index: int | None = 0, name: str | None = None, identity: str | None = None) -> Any:
    place = {} if index is None else {"index": index}
    named = {} if name is None else {"name": name}
    return {
        "tool_calls": [{**place, "id": identity, "type": "function", "function": {**named, "arguments": arguments}}]
    }


def test_calls_in_pieces_are_passed_on_as_they_come() -> None:
    raw = events(
        {"role": "assistant", "content": "Wait. "},
        piece("", name="weather", identity="c1"),
        piece('{"city": '),
        piece('"Rome"}'),
        piece("{}", index=1, name="clock", identity="c2"),
    )
    got = pieces([raw])
    assert "".join(chunk.text for chunk in got) == "Wait. "
    assert calls_of(got) == [
        {"index": 0, "id": "c1", "name": "weather", "arguments": ""},
        {"index": 0, "id": None, "name": None, "arguments": '{"city": '},
        {"index": 0, "id": None, "name": None, "arguments": '"Rome"}'},
        {"index": 1, "id": "c2", "name": "clock", "arguments": "{}"},
    ]
    assert got[-1].generation_info == {"finish_reason": "tool_calls"}


ROME = {"index": 0, "id": "c1", "name": "weather", "arguments": '{"city": "Rome"}'}
BARE = ROME | {"id": ANY}

ODD = [
    pytest.param([{"tool_calls": [CALL]}], [ROME], id="the whole call in one delta, without index"),
    pytest.param([{"tool_calls": CALL}], [ROME], id="a bare object"),
    pytest.param(
        [{"tool_calls": [CALL, {**CALL, "id": "c2"}]}], [ROME, ROME | {"index": 1, "id": "c2"}], id="two, without index"
    ),
    pytest.param(
        [{"tool_calls": [{"function": CALL["function"]}, {"function": CALL["function"]}]}],
        [BARE, BARE | {"index": 1}],
        id="two, without index and id",
    ),
    pytest.param(
        [piece('{"city": ', index=None, name="weather", identity="c1"), piece('"Rome"}', index=None)],
        [ROME],
        id="in pieces, without index",
    ),
    pytest.param(
        [piece('{"city": ', name="weather", identity="c1"), piece('"Rome"}', name="weather", identity="c1")],
        [ROME],
        id="id and name with every piece",
    ),
    pytest.param(
        [piece('{"city": ', name="weather", identity="c1"), piece('"Rome"}', name="", identity="")],
        [ROME],
        id="empty id and name in further pieces",
    ),
    pytest.param([piece({"city": "Rome"}, name="weather")], [BARE], id="arguments as an object"),
    pytest.param(
        [piece(None, name="weather", identity="c1"), piece('{"city": "Rome"}')], [ROME], id="null for no arguments yet"
    ),
    pytest.param(
        [
            {"content": None, "function_call": {"name": "weather", "arguments": '{"city": '}},
            {"function_call": {"arguments": '"Rome"}'}},
        ],
        [BARE],
        id="a function of before there were tools",
    ),
]


@pytest.mark.parametrize("reason", ["tool_calls", "stop", "eos_token"])
@pytest.mark.parametrize(("deltas", "calls"), ODD)
def test_streams_of_every_server_come_to_the_same_calls(
    deltas: list[dict[str, Any]], calls: list[dict[str, Any]], reason: str
) -> None:
    got = pieces([events(*deltas, reason=reason)])
    assert join_tool_calls(calls_of(got)) == calls
    assert got[-1].generation_info == {"finish_reason": "tool_calls"}


def test_calls_without_ids_get_ids_of_their_own() -> None:
    bare = {"function": {"name": "clock", "arguments": "{}"}}
    whole = (read({"tool_calls": [bare, bare]}).generation_info or {})["tool_calls"]
    streamed = join_tool_calls(calls_of(pieces([events({"tool_calls": [bare, bare]})])))
    ids = {call["id"] for call in (*whole, *streamed)}
    assert len(ids) == 4
    assert all(ToolMessage("12:00", tool_call_id=each).tool_call_id == each for each in ids)


@pytest.mark.parametrize("call", ["weather", [None], [{"index": 0, "function": "x"}], [{"id": 3, "index": 0}]])
def test_pieces_of_calls_of_another_shape_are_malformed(call: Any) -> None:
    with pytest.raises(WireError, match="unexpected shape"):
        pieces([events({"tool_calls": call})])


texts = st.text(max_size=6)
whole = st.lists(st.tuples(st.text(min_size=1, max_size=4), st.lists(texts, max_size=4)), min_size=1, max_size=3)


@given(st.lists(texts, max_size=3), whole, st.lists(st.integers(0, 4000), max_size=12), st.booleans())
def test_text_and_calls_arrive_unchanged_however_pieces_and_bytes_are_split(
    content: list[str], calls: list[tuple[str, list[str]]], cuts: list[int], indexed: bool
) -> None:
    deltas: list[dict[str, Any]] = [{"content": text} for text in content]
    for number, (name, arguments) in enumerate(calls):
        index = number if indexed else None
        deltas.append(piece("", index=index, name=name, identity=f"c{number}"))
        deltas += [piece(part, index=index) for part in arguments]
    got = pieces(split(events(*deltas), cuts))
    assert "".join(chunk.text for chunk in got) == "".join(content)
    assert join_tool_calls(calls_of(got)) == [
        {"index": number, "id": f"c{number}", "name": name, "arguments": "".join(arguments)}
        for number, (name, arguments) in enumerate(calls)
    ]


# Through boto3


@pytest.fixture(scope="module")
def scripted_server() -> Iterator[ScriptedServer]:
    with ScriptedServer().running() as server:
        yield server


@pytest.fixture
def server(scripted_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", scripted_server.url)
    return scripted_server


def endpoint(name: str, **settings: Any) -> SageMakerLLM:
    return SageMakerLLM(endpoint_name=name, wire="messages", max_retries=2, **settings)


def answered(llm: SageMakerLLM, way: str) -> list[GenerationChunk]:
    async def pieces() -> list[GenerationChunk]:
        return [piece async for piece in llm.achunks(ASKED, output_format=TOOLS)]

    if way == "complete":
        return llm.complete(ASKED, output_format=TOOLS)
    if way == "acomplete":
        return asyncio.run(llm.acomplete(ASKED, output_format=TOOLS))
    return list(llm.chunks(ASKED, output_format=TOOLS)) if way == "chunks" else asyncio.run(pieces())


WAYS = ("complete", "acomplete", "chunks", "achunks")
STREAM = events(
    {"role": "assistant", "content": ""},
    piece("", name="weather", identity="c1"),
    piece('{"city": '),
    piece('"Rome"}'),
    usage={"prompt_tokens": 9, "completion_tokens": 3},
)


def test_only_the_messages_wire_has_tools_and_schemas_of_the_servers_own() -> None:
    for wire in list_wires():
        capabilities = SageMakerLLM(endpoint_name="x", wire=wire, region_name="eu-west-1").capabilities
        assert capabilities.native_tools == capabilities.constrained_decoding == (wire == "messages")


@pytest.mark.parametrize("way", WAYS)
def test_an_endpoint_is_sent_the_tools_and_its_calls_come_back(server: ScriptedServer, way: str) -> None:
    streams = "chunks" in way
    unary = json.dumps(reply({"content": None, "tool_calls": [CALL]})).encode()
    server.replies["calls"] = [STREAM if streams else unary]
    got = answered(endpoint("calls"), way)
    assert join_tool_calls(calls_of(got)) == [ROME]
    assert got[-1].generation_info is not None
    assert got[-1].generation_info["finish_reason"] == "tool_calls"
    assert json.loads(server.requests[-1]) == {
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": WEATHER}, {"type": "function", "function": CLOCK}],
        "tool_choice": "auto",
        "stream": streams,
        **({"stream_options": {"include_usage": True}} if streams else {}),
    }


@pytest.mark.parametrize("way", ["complete", "acomplete"])
def test_a_whole_answer_that_is_streamed_inside_has_each_call_once(server: ScriptedServer, way: str) -> None:
    server.replies["inside"] = [STREAM]
    [answer] = answered(endpoint("inside", streaming=True), way)
    assert (answer.text, answer.generation_info) == (
        "",
        {"input_tokens": 9, "output_tokens": 3, "tool_calls": [ROME], "finish_reason": "tool_calls"},
    )


def test_calls_arrive_unchanged_under_any_splitting(server: ScriptedServer) -> None:
    llm = endpoint("split")

    @given(st.lists(st.integers(0, 2000), max_size=12))
    def check(cuts: list[int]) -> None:
        server.replies["split"] = split(STREAM, cuts)
        assert join_tool_calls(calls_of(list(llm.chunks(ASKED, output_format=TOOLS)))) == [ROME]

    check()


@pytest.mark.parametrize("streaming", [False, True])
def test_a_stream_that_breaks_after_some_of_a_call_is_not_asked_for_again(
    server: ScriptedServer, streaming: bool
) -> None:
    server.replies["cut"] = [STREAM.partition(b'data: {"choices": [{"index": 0, "delta": {}')[0]]
    before = len(server.requests)
    with pytest.raises(errors.StreamInterrupted) as caught:
        answered(endpoint("cut", streaming=streaming), "complete" if streaming else "chunks")
    assert caught.value.partial_text == ""
    assert len(server.requests) == before + 1


def test_a_stream_with_calls_of_another_shape_is_a_malformed_response(server: ScriptedServer) -> None:
    server.replies["shape"] = [events({"tool_calls": ["weather"]})]
    with pytest.raises(errors.MalformedResponse, match="unexpected shape"):
        answered(endpoint("shape"), "chunks")
    server.replies["shape"] = [json.dumps(reply({"content": None})).encode()]
    with pytest.raises(errors.MalformedResponse, match="unexpected shape"):
        answered(endpoint("shape"), "complete")


CLIPPED = [
    pytest.param('{"city": "Ro', id="inside a text"),
    pytest.param('{"city": "Ro\\', id="inside an escape"),
    pytest.param('{"city": ["Rome"', id="inside an array"),
    pytest.param('{"city": 1', id="after a number"),
    pytest.param("", id="before all arguments"),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("arguments", CLIPPED)
def test_a_servers_call_that_the_token_limit_cut_is_invalid(
    server: ScriptedServer, arguments: str, streamed: bool
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    unary = json.dumps(reply({"content": None, "tool_calls": [call]}, "length")).encode()
    chunks = [piece("", name="weather", identity="c1"), *(piece(character) for character in arguments)]
    server.replies["clipped"] = [events(*chunks, reason="length") if streamed else unary]
    chat = PromptedChatModel(llm=endpoint("clipped")).bind_tools([WEATHER])
    message = sum_of(chat.stream("Hi")) if streamed else chat.invoke("Hi")
    assert message.tool_calls == []
    [invalid] = message.invalid_tool_calls
    assert (invalid["name"], invalid["id"]) == ("weather", "c1")
    assert (invalid["args"] or "").startswith(arguments)
    assert message.response_metadata[TOOL_CALL_ERRORS] == {"c1": "arguments: the token limit cut them"}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_servers_call_that_was_whole_at_the_token_limit_stands(server: ScriptedServer, streamed: bool) -> None:
    chunks = events(piece('{"city": "Rome"}', name="weather", identity="c1"), reason="length")
    unary = json.dumps(reply({"content": None, "tool_calls": [CALL]}, "length")).encode()
    server.replies["whole"] = [chunks if streamed else unary]
    chat = PromptedChatModel(llm=endpoint("whole")).bind_tools([WEATHER])
    message = sum_of(chat.stream("Hi")) if streamed else chat.invoke("Hi")
    assert [call["args"] for call in message.tool_calls] == [{"city": "Rome"}]
    assert TOOL_CALL_ERRORS not in message.response_metadata


@pytest.mark.parametrize("streamed", [False, True])
def test_a_servers_calls_without_ids_get_some_that_results_can_name(server: ScriptedServer, streamed: bool) -> None:
    calls = [{"function": CALL["function"]}, {"function": CALL["function"]}]
    chunks = events(*({"tool_calls": [{"index": i, **call}]} for i, call in enumerate(calls)))
    server.replies["nameless"] = [chunks if streamed else json.dumps(reply({"tool_calls": calls})).encode()]
    chat = PromptedChatModel(llm=endpoint("nameless")).bind_tools([WEATHER])
    message = sum_of(chat.stream("Hi")) if streamed else chat.invoke("Hi")
    assert len({call["id"] for call in message.tool_calls if call["id"]}) == 2


def sum_of(chunks: Iterator[Any]) -> Any:
    whole = next(chunks)
    for chunk in chunks:
        whole += chunk
    return whole
