"""A text model behind the local runtime as a server of chat completions with tools, asked by a stock boto3 client."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from langchain_core.messages import convert_to_messages
from langchain_core.outputs import GenerationChunk
from pydantic import PrivateAttr
from sagechain.endpoints import LocalRuntime
from sagechain.llms import GenerationParameters, LlamaCppLLM, SageMakerLLM
from sagechain.llms.calls import ModelCall, Prompt
from sagechain.llms.text_model import TextModel
from sagechain.prompts import get_family
from sagechain.prompts.shapes import JsonAnswer, Shape, ToolUse

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "weather", "description": "The weather in a city.", "parameters": SCHEMA}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": WEATHER},
    {"type": "function", "function": {"name": "clock"}},
]
USER = {"role": "user", "content": "Weather in Rome?"}
ROME = '{"city": "Rome"}'
CALL = f'<tool_call>\n{{"name": "weather", "arguments": {ROME}}}\n</tool_call>'
TWICE = f'{CALL}\n<tool_call>\n{{"name": "clock", "arguments": {{}}}}\n</tool_call>'


class Said(ModelCall):
    """An answer in pieces of three characters, or whole."""

    def __init__(self, text: str, reason: str, *, stream: bool) -> None:
        step = 3 if stream else max(1, len(text))
        self._pieces = [GenerationChunk(text=text[start : start + step]) for start in range(0, len(text), step)]
        info = {"finish_reason": reason, "input_tokens": 7, "output_tokens": 5}
        if stream:
            self._pieces.append(GenerationChunk(text="", generation_info=info))
        else:
            self._pieces[-1].generation_info = info

    def __iter__(self) -> Iterator[GenerationChunk]:
        yield from self._pieces

    def close(self) -> None:
        """Nothing is held."""


class Speaker(TextModel):
    """Says what it is told to, and keeps what it was asked."""

    family: str | None = "chatml"
    says: str = "Hello."
    reason: str = "stop"
    _kept: list[tuple[Prompt, Shape | None]] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> list[tuple[Prompt, Shape | None]]:
        """The prompts, and what the answers had to be."""
        return self._kept

    @property
    def _llm_type(self) -> str:
        return "speaker"

    def _start(
        self, prompt: Prompt, parameters: GenerationParameters, *, stream: bool, shape: Shape | None = None
    ) -> ModelCall:
        self._kept.append((prompt, shape))
        return Said(self.says, self.reason, stream=stream)


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker()


@pytest.fixture(scope="module")
def served(speaker: Speaker) -> Iterator[LocalRuntime]:
    with LocalRuntime({name: {"model": speaker, "wire": "messages"} for name in ("chat", "other")}) as runtime:
        yield runtime


@pytest.fixture
def client(served: LocalRuntime) -> Any:
    return boto3.client("sagemaker-runtime", endpoint_url=served.url)


def complete(client: Any, endpoint: str = "chat", **body: Any) -> dict[str, Any]:
    data = json.dumps({"messages": [USER], **body}).encode()
    reply: dict[str, Any] = json.loads(client.invoke_endpoint(EndpointName=endpoint, Body=data)["Body"].read())
    return reply


def stream(client: Any, **body: Any) -> list[dict[str, Any]]:
    data = json.dumps({"messages": [USER], **body, "stream": True}).encode()
    reply = client.invoke_endpoint_with_response_stream(EndpointName="chat", Body=data)
    raw = b"".join(event["PayloadPart"]["Bytes"] for event in reply["Body"])
    *events, done = [line.removeprefix(b"data: ") for line in raw.split(b"\n\n") if line]
    assert done == b"[DONE]"
    return [json.loads(event) for event in events]


def refused(client: Any, **body: Any) -> str:
    with pytest.raises(ClientError) as caught:
        complete(client, **body)
    assert caught.value.response["OriginalStatusCode"] == 400
    error = json.loads(caught.value.response["OriginalMessage"])["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", 400)
    return str(error["message"])


def test_a_call_that_the_model_writes_is_a_call_of_the_servers(client: Any, speaker: Speaker) -> None:
    speaker.says = f"Let me look.\n{CALL}"
    reply = complete(client, tools=TOOLS)
    [choice] = reply["choices"]
    message = choice["message"]
    [call] = message["tool_calls"]
    assert (choice["index"], choice["finish_reason"], message["role"]) == (0, "tool_calls", "assistant")
    assert message["content"].strip() == "Let me look."
    assert (call["type"], call["function"]["name"], json.loads(call["function"]["arguments"])) == (
        "function",
        "weather",
        {"city": "Rome"},
    )
    assert call["id"]
    assert reply["usage"] == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


def test_the_model_is_told_of_the_tools_in_its_own_layout(client: Any, speaker: Speaker) -> None:
    speaker.says = CALL
    complete(client, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "weather"}})
    prompt, shape = speaker.asked[-1]
    assert isinstance(shape, ToolUse)
    assert (shape.names, shape.choice, shape.parallel) == (["weather", "clock"], "weather", True)
    assert shape.tools[1] == {"name": "clock", "description": "", "parameters": {"type": "object", "properties": {}}}
    rendered = get_family("chatml").render(convert_to_messages([USER]), shape=shape)
    assert prompt == rendered.text
    assert '"name": "weather"' in str(prompt)


@pytest.mark.parametrize(
    ("asked", "choice", "parallel"),
    [
        ({}, "auto", True),
        ({"tool_choice": "auto", "parallel_tool_calls": True}, "auto", True),
        ({"tool_choice": "required"}, "any", True),
        ({"parallel_tool_calls": False}, "auto", False),
    ],
)
def test_the_choice_of_tools_reaches_the_model(
    client: Any, speaker: Speaker, asked: dict[str, Any], choice: str, parallel: bool
) -> None:
    speaker.says = CALL
    complete(client, tools=TOOLS, **asked)
    shape = speaker.asked[-1][1]
    assert isinstance(shape, ToolUse)
    assert (shape.choice, shape.parallel) == (choice, parallel)


def test_without_tools_or_where_none_may_be_called_all_is_text(client: Any, speaker: Speaker) -> None:
    speaker.says = CALL
    for asked in ({}, {"tools": TOOLS, "tool_choice": "none"}, {"response_format": {"type": "text"}}):
        [choice] = complete(client, **asked)["choices"]
        assert choice["message"] == {"role": "assistant", "content": CALL}
        assert choice["finish_reason"] == "stop"
        assert speaker.asked[-1][1] is None


def test_several_calls_come_in_order_and_one_where_no_more_were_asked_for(client: Any, speaker: Speaker) -> None:
    speaker.says = TWICE
    [both] = complete(client, tools=TOOLS)["choices"]
    told = [(call["function"]["name"], call["function"]["arguments"]) for call in both["message"]["tool_calls"]]
    assert told == [("weather", ROME), ("clock", "{}")]
    assert both["message"]["content"] is None
    assert len({call["id"] for call in both["message"]["tool_calls"]}) == 2
    [one] = complete(client, tools=TOOLS, parallel_tool_calls=False)["choices"]
    assert [call["function"]["name"] for call in one["message"]["tool_calls"]] == ["weather"]


def test_a_stream_tells_text_and_then_calls_name_first(client: Any, speaker: Speaker) -> None:
    speaker.says = f"Wait.\n{TWICE}"
    *told, last, usage = stream(client, tools=TOOLS, stream_options={"include_usage": True})
    deltas = [choice["delta"] for event in told for choice in event["choices"]]
    assert all(event["object"] == "chat.completion.chunk" for event in told)
    assert [delta.pop("role", None) for delta in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
    assert "".join(delta.get("content", "") for delta in deltas).strip() == "Wait."
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    names = [call.pop("id", None) is not None for call in calls]
    assert names == [True, False, True, False]
    assert calls == [
        {"index": 0, "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": ROME}},
        {"index": 1, "type": "function", "function": {"name": "clock", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 12)


def test_an_answer_that_was_cut_says_so_also_where_it_has_calls(client: Any, speaker: Speaker) -> None:
    speaker.says, speaker.reason = f"{CALL}\n<tool_call>\n{{", "length"
    try:
        assert complete(client, tools=TOOLS)["choices"][0]["finish_reason"] == "length"
        assert stream(client, tools=TOOLS)[-1]["choices"][0]["finish_reason"] == "length"
    finally:
        speaker.reason = "stop"


def test_an_answer_in_json_reaches_the_model_as_such(client: Any, speaker: Speaker) -> None:
    speaker.says = ROME
    named = {"name": "place", "schema": SCHEMA, "strict": True}
    [choice] = complete(client, response_format={"type": "json_schema", "json_schema": named})["choices"]
    assert choice["message"] == {"role": "assistant", "content": ROME}
    assert speaker.asked[-1][1] == JsonAnswer(SCHEMA, "place")
    complete(client, response_format={"type": "json_object"})
    assert speaker.asked[-1][1] == JsonAnswer()
    assert "JSON" in str(speaker.asked[-1][0])


def test_calls_and_results_of_the_conversation_are_laid_out(client: Any, speaker: Speaker) -> None:
    speaker.says = "It rains."
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ROME}}
    history: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be brief."},
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "rain"}]},
    ]
    [choice] = complete(client, messages=history)["choices"]
    assert choice["message"] == {"role": "assistant", "content": "It rains."}
    assert speaker.asked[-1][0] == get_family("chatml").render(convert_to_messages(history)).text
    assert "<tool_response>\nrain\n</tool_response>" in str(speaker.asked[-1][0])


def _calling(**call: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", **call}]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"tools": {}}, "`tools`"),
        ({"tools": []}, "`tools`"),
        ({"tools": [WEATHER]}, "`tools.0.type`"),
        ({"tools": [{"type": "function", "function": {}}]}, "`tools.0.function.name`"),
        ({"tools": [{"type": "function", "function": {"name": "the weather"}}]}, "`tools.0.function.name`"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "`tools.0.function.parameters`",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "strnig"}}}]},
            "`tools.0.function.parameters`: schema.type: 'strnig' is unknown. Did you mean 'string'?",
        ),
        ({"tools": [*TOOLS, TOOLS[0]]}, "two functions have one name"),
        ({"tools": TOOLS, "tool_choice": "weather"}, "`tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "`tool_choice"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "whether"}}},
            "`tool_choice`: 'whether' is none of the `tools`: ['weather', 'clock']",
        ),
        ({"tool_choice": "auto"}, "`tool_choice`: there are no `tools`"),
        ({"tool_choice": "required"}, "`tool_choice`: there are no `tools`"),
        ({"tools": TOOLS, "parallel_tool_calls": "no"}, "`parallel_tool_calls`"),
        ({"response_format": {"type": "yaml"}}, "`response_format.type`"),
        ({"response_format": {"type": "json_schema"}}, "`response_format`: `json_schema` is missing"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 3}}}},
            "`response_format.json_schema.schema`: schema.type: this is no JSON schema",
        ),
        ({"messages": [{"role": "person", "content": "Hi"}]}, "`messages.0.role`"),
        ({"messages": [{"role": "user"}]}, "`messages.0`: `content` is missing"),
        ({"messages": [USER, {"role": "tool", "content": "rain"}]}, "`messages.1`: a message of role 'tool' needs"),
        ({"messages": [USER, {"role": "tool", "content": "rain", "tool_call_id": "c"}]}, "has a call 'c'"),
        ({"messages": [USER, _calling(function={"name": "weather"})]}, "`messages.1.tool_calls.0.function.arguments`"),
        (
            {"messages": [USER, _calling(function={"name": "weather", "arguments": "{'city'"})]},
            "`messages.1.tool_calls.0.function.arguments`: they are not JSON",
        ),
        ({"messages": [USER, _calling(function={"name": "weather", "arguments": "3"})]}, "they are no JSON object"),
        (
            {"messages": [USER, _calling(id=None, function={"name": "f", "arguments": "{}"})]},
            "`messages.1.tool_calls.0.id`",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "text only"),
    ],
)
def test_what_openai_and_vllm_refuse_is_refused(client: Any, body: dict[str, Any], words: str) -> None:
    assert words in refused(client, **body)


def test_endpoints_may_share_a_model_that_is_there_already(client: Any, speaker: Speaker) -> None:
    before = len(speaker.asked)
    for endpoint in ("chat", "other"):
        complete(client, endpoint)
    assert len(speaker.asked) == before + 2


def test_the_wire_and_the_server_agree_on_calls(
    served: LocalRuntime, speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", served.url)
    speaker.says = TWICE
    llm = SageMakerLLM(endpoint_name="chat", wire="messages")
    use = ToolUse.of([tool["function"] for tool in TOOLS])
    messages = convert_to_messages([USER])
    [whole] = llm.complete(messages, shape=use)
    pieces = list(llm.pieces(messages, shape=use))
    assert whole.generation_info is not None
    told = [(c["index"], c["name"], c["arguments"]) for c in whole.generation_info["tool_calls"]]
    assert told == [(0, "weather", ROME), (1, "clock", "{}")]
    deltas = [d for p in pieces for d in (p.generation_info or {}).get("tool_calls", ())]
    assert [(d["index"], d["name"], d["arguments"]) for d in deltas] == [
        (0, "weather", ""),
        (0, None, ROME),
        (1, "clock", ""),
        (1, None, "{}"),
    ]


def test_a_model_with_a_template_of_its_own_is_served_with_tools_too(llm: LlamaCppLLM) -> None:
    with LocalRuntime({"chat": {"model": llm, "wire": "messages"}}) as runtime:
        client = boto3.client("sagemaker-runtime", endpoint_url=runtime.url)
        reply = complete(client, tools=TOOLS, max_tokens=8)
        bare = complete(client, max_tokens=8)
    assert reply["usage"]["prompt_tokens"] > bare["usage"]["prompt_tokens"] + 50
    assert reply["choices"][0]["finish_reason"] == "length"
