"""What real servers send on the `messages` wire beside the reference: each is read, or is the right error."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from sagechain.llms import PromptedChatModel, SageMakerLLM, errors
from sagechain.llms.generation import join_tool_calls
from sagechain.llms.wires import get_wire
from sagechain.llms.wires.wire_error import WireError

from tests.llms.chat_completions import call_delta, tool_call_deltas
from tests.scripted_server import ScriptedServer

HEAD = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Pa"}, "finish_reason": None}]}
TAIL = {"choices": [{"index": 0, "delta": {"content": "ris"}, "finish_reason": None}]}
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def data(*events: Any) -> bytes:
    return b"".join(b"data: " + (e if isinstance(e, bytes) else json.dumps(e).encode()) + b"\n\n" for e in events)


def decode(stream: bytes, size: int = 7) -> tuple[str, dict[str, Any]]:
    """The text of a stream, and all figures; it arrives in chunks of `size`."""
    decoder = get_wire("messages").decoder()
    chunks = [c for i in range(0, len(stream), size) for c in decoder.feed(stream[i : i + size])] + list(
        decoder.flush()
    )
    if not decoder.ended:
        raise EOFError
    info: dict[str, Any] = {}
    for chunk in chunks:
        info |= chunk.generation_info or {}
    return "".join(chunk.text for chunk in chunks), info


PARIS = ("Paris", {"finish_reason": "stop"})
STREAMS: list[tuple[str, Iterable[Any]]] = [
    ("as in the reference", [HEAD, TAIL, STOP]),
    ("choices that are null", [HEAD, {"choices": None, "usage": None}, TAIL, STOP]),
    ("no choices", [{"choices": [], "prompt_filter_results": []}, HEAD, TAIL, STOP]),
    ("a delta that is null", [HEAD, TAIL, {"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]}]),
    ("no delta at the end", [HEAD, TAIL, {"choices": [{"finish_reason": "stop"}]}]),
    ("pings", [{"type": "ping"}, HEAD, {"type": "ping", "cost": "0"}, TAIL, STOP, {"type": "ping"}]),
    ("empty data lines", [b"", HEAD, b" ", TAIL, b"", STOP]),
    ("empty events", [{}, HEAD, b"null", TAIL, {}, STOP]),
    ("content in parts", [{"choices": [{"delta": {"content": [{"type": "text", "text": "Paris"}]}}]}, STOP]),
    (
        "a part as text",
        [{"choices": [{"delta": {"content": ["Pa", {"text": "ris"}, {"type": "text", "text": None}]}}]}, STOP],
    ),
    ("the reason in the delta", [HEAD, TAIL, {"choices": [{"delta": {"finish_reason": "stop"}}]}]),
    ("the reason beside the choices", [HEAD, TAIL, {"choices": [{"delta": {}}], "finish_reason": "stop"}]),
    ("the reason with the last text", [HEAD, {"choices": [{"delta": {"content": "ris"}, "finish_reason": "stop"}]}]),
    ("the reason twice", [HEAD, TAIL, STOP, STOP]),
    ("an empty reason", [{"choices": [{"delta": {"content": "Paris"}, "finish_reason": ""}]}, STOP]),
    ("a reason in capitals", [HEAD, TAIL, {"choices": [{"delta": {}, "finish_reason": "STOP"}]}]),
    ("an error that is null", [{**HEAD, "error": None}, TAIL, STOP]),
]


@pytest.mark.parametrize("end", [data(b"[DONE]"), b""], ids=["done", "without [DONE]"])
@pytest.mark.parametrize("events", [pytest.param(events, id=name) for name, events in STREAMS])
def test_streams_of_every_server_give_the_same_text(events: list[Any], end: bytes) -> None:
    assert decode(data(*events) + end) == PARIS


LINES = data(HEAD, TAIL, STOP, b"[DONE]")


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    "stream",
    [
        LINES.replace(b"\n", b"\r\n"),
        LINES.replace(b"\n", b"\r"),
        LINES.replace(b"\n\n", b"\n"),
        b": welcome\n\n" + LINES.replace(b"data: ", b":\nevent: message\nid: 1\nretry: 5\ndata:"),
        b"event: ping\ndata: {}\n\nevent: notice\ndata: not JSON\n\n" + LINES,
        LINES.replace(b', "finish_reason"', b',\ndata:  "finish_reason"'),
        LINES.replace(b"{", b"{\ndata: "),
        LINES.rstrip(b"\n"),
    ],
    ids=[
        "CRLF",
        "CR",
        "no blank lines",
        "comments and fields",
        "other events",
        "two data lines",
        "many",
        "no line end",
    ],
)
def test_lines_are_read_as_the_standard_of_events_says(stream: bytes, size: int) -> None:
    assert decode(stream, size) == PARIS


@pytest.mark.parametrize(
    "usage", [{"choices": [], "usage": USAGE}, {"choices": None, "usage": USAGE}, {"usage": USAGE}]
)
def test_the_usage_may_come_after_the_finish_reason(usage: Any) -> None:
    figures = {"finish_reason": "stop", "input_tokens": 3, "output_tokens": 2}
    assert decode(data(HEAD, TAIL, STOP, usage, b"[DONE]")) == ("Paris", figures)


@pytest.mark.parametrize("reason", ["length", "LENGTH", "MAX_TOKENS", "model_length"])
def test_a_truncated_answer_is_called_so_whatever_the_server_calls_it(reason: str) -> None:
    assert decode(data(HEAD, {"choices": [{"delta": {}, "finish_reason": reason}]}))[1] == {"finish_reason": "length"}


def test_a_stream_without_a_finish_reason_is_cut(server: ScriptedServer) -> None:
    for end in (b"", data(b"[DONE]")):
        server.replies["e"] = [data(HEAD, TAIL) + end]
        with pytest.raises(errors.StreamInterrupted) as caught:
            list(endpoint().stream("Hi"))
        assert caught.value.partial_text == "Paris"


@pytest.mark.parametrize(
    "choices",
    [
        [None],
        ["x"],
        {"0": 1},
        [{"delta": "x"}],
        [{"delta": []}, {"delta": []}],
        [{"delta": {"content": 5}}],
        [{"delta": {"content": [{"type": "image_url"}]}}],
        [{"delta": {}, "finish_reason": {"type": "stop"}}],
        [{"delta": {"content": "Par"}}, {"delta": {"content": "Rom"}}],
    ],
)
def test_events_of_another_shape_are_malformed(choices: Any) -> None:
    with pytest.raises(WireError, match="unexpected shape"):
        decode(data({"choices": choices}, STOP))


# Reasoning and refusals


def endpoint(**fields: Any) -> PromptedChatModel:
    return PromptedChatModel(llm=SageMakerLLM(endpoint_name="e", wire="messages", max_retries=0, **fields))


def both_ways(server: ScriptedServer, message: dict[str, Any], reason: str = "stop") -> list[AIMessage]:
    """The message of a whole reply, and the sum of a stream in which every text comes in two halves."""
    server.replies["e"] = [json.dumps({"choices": [{"message": message, "finish_reason": reason}]}).encode()]
    whole = endpoint().invoke("Hi")
    texts = {name: value for name, value in message.items() if isinstance(value, str)}
    halves = [{n: t[: len(t) // 2] for n, t in texts.items()}, {n: t[len(t) // 2 :] for n, t in texts.items()}]
    rest = {name: value for name, value in message.items() if name not in texts}
    events = [{"choices": [{"delta": delta}]} for delta in (*halves, rest)]
    server.replies["e"] = [data(*events, {"choices": [{"delta": {}, "finish_reason": reason}]})]
    streamed, *chunks = endpoint().stream("Hi")
    for chunk in chunks:
        streamed += chunk
    return [whole, streamed]


@pytest.mark.parametrize(
    ("message", "text", "beside"),
    [
        ({"content": None, "reasoning_content": "Hm, so."}, "", {"reasoning_content": "Hm, so."}),
        ({"content": "Yes.", "reasoning": "Hm, so."}, "Yes.", {"reasoning_content": "Hm, so."}),
        ({"content": "Yes.", "reasoning": "Hm", "reasoning_content": "Hm"}, "Yes.", {"reasoning_content": "Hm"}),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
                    {"type": "text", "text": "Yes."},
                ]
            },
            "Yes.",
            {"reasoning_content": "Hm"},
        ),
        ({"content": None, "refusal": "I cannot."}, "I cannot.", {"refusal": "I cannot."}),
        ({"content": [{"type": "refusal", "refusal": "I cannot."}]}, "I cannot.", {"refusal": "I cannot."}),
        ({"content": None}, "", {}),
    ],
)
def test_reasoning_and_refusals_stand_beside_the_text(
    server: ScriptedServer, message: dict[str, Any], text: str, beside: dict[str, str]
) -> None:
    for reason in ("stop", "length"):
        for answer in both_ways(server, message, reason):
            assert (answer.text, answer.additional_kwargs) == (text, beside)
            assert answer.response_metadata["finish_reason"] == reason


def test_reasoning_is_shown_as_it_arrives_and_joined_once(server: ScriptedServer) -> None:
    deltas = [{"reasoning": "Hm"}, {"reasoning": ", so."}, {"content": "Yes."}]
    server.replies["e"] = [data(*({"choices": [{"delta": delta}]} for delta in deltas), STOP)]
    shown = [chunk.additional_kwargs.get("reasoning_content") for chunk in endpoint().stream("Hi")]
    assert shown[:2] == ["Hm", ", so."]
    assert endpoint(streaming=True).invoke("Hi").additional_kwargs == {"reasoning_content": "Hm, so."}


# Errors in a reply whose status is 200

ERRORS = [
    ({"object": "error", "message": "too long", "type": "BadRequestError", "code": 400}, errors.RequestRejected),
    ({"object": "error", "message": "too long", "type": "BadRequestError", "param": None}, errors.RequestRejected),
    ({"object": "error", "message": "busy", "code": 503}, errors.ModelFailed),
    ({"error": {"message": "wait", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}, errors.Throttled),
    ({"error": {"message": "wait", "code": 429}}, errors.Throttled),
    (
        {"error": {"message": "no", "type": "invalid_request_error", "code": "context_length_exceeded"}},
        errors.RequestRejected,
    ),
    ({"error": {"message": "broken", "type": "server_error", "code": None}}, errors.ModelFailed),
    ({"error": "broken", "status": 500}, errors.ModelFailed),
    ({"error": ["broken"]}, errors.ModelFailed),
    ({"code": 400, "type": "InternalServerException", "message": "CUDA out of memory. Tried …"}, errors.ModelFailed),
    ({"code": 400, "type": "BadRequest", "message": "no such model"}, errors.RequestRejected),
    ({"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}, errors.ModelFailed),
    ([{"error": "Model is overloaded", "error_type": "overloaded"}], errors.Throttled),
]


@pytest.mark.parametrize(("reply", "kind"), ERRORS)
def test_an_error_in_a_reply_or_a_stream_is_the_containers(
    server: ScriptedServer, reply: Any, kind: type[errors.LLMError]
) -> None:
    for body in (json.dumps(reply).encode(), data(reply), data({"choices": []}, reply)):
        server.replies["e"] = [body]
        read = endpoint().invoke if body == json.dumps(reply).encode() else lambda text: list(endpoint().stream(text))
        with pytest.raises(kind, match="the container reports"):
            read("Hi")


def test_an_error_after_text_interrupts_the_stream(server: ScriptedServer) -> None:
    for error in (
        data(ERRORS[0][0]),
        b"event: error\ndata: it broke\n\n",
        b'event: error\ndata: {"why": "it broke"}\n\n',
    ):
        server.replies["e"] = [data(HEAD) + error]
        with pytest.raises(errors.StreamInterrupted, match="the container reports") as caught:
            list(endpoint().stream("Hi"))
        assert caught.value.partial_text == "Pa"


# Tool calls whose parts are sent in odd ways


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        ([call_delta("", name="get_", call_id="a"), call_delta("{}", name="weather")], [("get_weather", "{}")]),
        (
            [call_delta("", name="get_", call_id="a"), call_delta("{}", name="weather", call_id="a")],
            [("get_weather", "{}")],
        ),
        (
            [call_delta("", index=None, name="get_"), call_delta("{}", index=None, name="weather")],
            [("get_weather", "{}")],
        ),
        ([call_delta("{", name="get_", call_id="a"), call_delta("}", name="weather")], [("get_weather", "{}")]),
        ([call_delta("{", name="run", call_id="a"), call_delta("}", name="run", call_id="b")], [("run", "{}")]),
        (
            [call_delta("{}", name="run", call_id="a"), call_delta("{}", name="stop", call_id="b")],
            [("run", "{}"), ("stop", "{}")],
        ),
        (
            [call_delta("{}", index=None, name="run"), call_delta("{}", index=None, name="run")],
            [("run", "{}"), ("run", "{}")],
        ),
        ([call_delta("{}", index=None, name="a", call_id="a"), call_delta("{}", index=None, name="b", call_id="b")], 2),
    ],
    ids=[
        "pieces",
        "pieces with id",
        "pieces without index",
        "late piece",
        "new ids",
        "all 0",
        "no index and id",
        "ids only",
    ],
)
def test_no_tool_call_has_part_of_a_name(deltas: list[Any], calls: Any) -> None:
    decoder = get_wire("messages").decoder()
    chunks = list(decoder.feed(data(*({"choices": [{"delta": delta}]} for delta in deltas))))
    read = [(call["name"], call["arguments"]) for call in join_tool_calls(tool_call_deltas(chunks))]
    assert read == (calls if isinstance(calls, list) else [("a", "{}"), ("b", "{}")])


def test_halves_of_a_character_are_joined_or_replaced(server: ScriptedServer) -> None:
    halves = [{"choices": [{"delta": {"content": half}}]} for half in ("a\ud83d", "\ude00b", "c\udc00", "d\ud83d")]
    server.replies["e"] = [data(*halves, STOP)]
    assert "".join(chunk.text for chunk in endpoint().stream("Hi")) == "a\U0001f600bc\ufffdd\ufffd"
    server.replies["e"] = [
        json.dumps({"choices": [{"message": {"content": "a\ud83d"}, "finish_reason": "stop"}]}).encode()
    ]
    assert endpoint().invoke("Hi").text == "a\ufffd"
