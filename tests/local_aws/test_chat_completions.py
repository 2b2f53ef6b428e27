"""A text model behind the local runtime as a server of chat completions with tools, used by a stock boto3 client."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from langchain_core.messages import convert_to_messages
from sagechain.llms import LlamaCppLLM, SageMakerLLM
from sagechain.llms.testing import ScriptedLLM
from sagechain.local_aws import LocalRuntime
from sagechain.prompts import JsonFormat, OutputFormat, ToolCallFormat, get_family

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

Serve = Callable[..., tuple[Any, ScriptedLLM]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Makes a client of two endpoints, behind which one model gives these answers, and that model."""
    with ExitStack() as running:

        def started(*answers: str) -> tuple[Any, ScriptedLLM]:
            llm = ScriptedLLM(answers=answers, stream_by="characters")
            models = {name: {"model": llm, "wire": "messages"} for name in ("chat", "other")}
            runtime = running.enter_context(LocalRuntime(models))
            return boto3.client("sagemaker-runtime", endpoint_url=runtime.url), llm

        yield started


def prompt_of(messages: list[dict[str, Any]], output_format: OutputFormat | None = None) -> str:
    """The prompt that the model gets."""
    return get_family("chatml").render(convert_to_messages(messages), output_format=output_format).text


@pytest.fixture(scope="module")
def model_without_answers() -> Iterator[LocalRuntime]:
    """An endpoint that has to refuse every request: its model has no answer."""
    with LocalRuntime({"chat": {"model": ScriptedLLM(answers=[]), "wire": "messages"}}) as runtime:
        yield runtime


@pytest.fixture
def client(model_without_answers: LocalRuntime) -> Any:
    return boto3.client("sagemaker-runtime", endpoint_url=model_without_answers.url)


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


def test_a_tool_call_in_the_models_text_is_a_tool_call_of_the_reply(serve: Serve) -> None:
    said = f"Let me look.\n{CALL}"
    client, llm = serve(said)
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
    prompt_tokens, answer_tokens = llm.text_tokens(llm.prompts[0]), llm.text_tokens(said)
    assert reply["usage"] == {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": answer_tokens,
        "total_tokens": prompt_tokens + answer_tokens,
    }


FUNCTIONS = (WEATHER, {"name": "clock", "description": "", "parameters": {"type": "object", "properties": {}}})


@pytest.mark.parametrize(
    ("settings", "tool_format"),
    [
        ({}, ToolCallFormat(FUNCTIONS)),
        ({"tool_choice": "auto", "parallel_tool_calls": True}, ToolCallFormat(FUNCTIONS)),
        ({"tool_choice": "required"}, ToolCallFormat(FUNCTIONS, "any")),
        ({"tool_choice": {"type": "function", "function": {"name": "weather"}}}, ToolCallFormat(FUNCTIONS, "weather")),
        ({"parallel_tool_calls": False}, ToolCallFormat(FUNCTIONS, parallel=False)),
    ],
)
def test_the_prompt_shows_the_tools_and_the_choice_in_the_models_layout(
    serve: Serve, settings: dict[str, Any], tool_format: ToolCallFormat
) -> None:
    client, llm = serve(CALL)
    complete(client, tools=TOOLS, **settings)
    assert llm.prompts == [prompt_of([USER], tool_format)]
    assert '"name": "weather"' in llm.prompts[0]


@pytest.mark.parametrize(
    "settings", [{}, {"tools": TOOLS, "tool_choice": "none"}, {"response_format": {"type": "text"}}], ids=str
)
def test_without_tools_or_with_choice_none_the_answer_is_text(serve: Serve, settings: dict[str, Any]) -> None:
    client, llm = serve(CALL)
    [choice] = complete(client, **settings)["choices"]
    assert choice["message"] == {"role": "assistant", "content": CALL}
    assert choice["finish_reason"] == "stop"
    assert llm.prompts == [prompt_of([USER])]


def test_several_tool_calls_are_in_order_and_without_parallel_calls_only_the_first_remains(serve: Serve) -> None:
    client, _ = serve(TWICE, TWICE)
    [both] = complete(client, tools=TOOLS)["choices"]
    told = [(call["function"]["name"], call["function"]["arguments"]) for call in both["message"]["tool_calls"]]
    assert told == [("weather", ROME), ("clock", "{}")]
    assert both["message"]["content"] is None
    assert len({call["id"] for call in both["message"]["tool_calls"]}) == 2
    [one] = complete(client, tools=TOOLS, parallel_tool_calls=False)["choices"]
    assert [call["function"]["name"] for call in one["message"]["tool_calls"]] == ["weather"]


def test_a_stream_has_the_text_first_then_each_tool_calls_name_and_arguments(serve: Serve) -> None:
    client, llm = serve(f"Wait.\n{TWICE}")
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
    prompt_tokens, answer_tokens = llm.text_tokens(llm.prompts[0]), llm.text_tokens(f"Wait.\n{TWICE}")
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], prompt_tokens + answer_tokens)


def test_a_truncated_answer_ends_with_length_also_with_tool_calls(serve: Serve) -> None:
    client, llm = serve(TWICE, TWICE)
    cut: dict[str, Any] = {"tools": TOOLS, "max_tokens": llm.text_tokens(TWICE) - 9}
    [choice] = complete(client, **cut)["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "weather", "arguments": ROME}
    assert stream(client, **cut)[-1]["choices"][0]["finish_reason"] == "length"


def test_a_response_format_reaches_the_prompt(serve: Serve) -> None:
    client, llm = serve(ROME, ROME)
    named = {"name": "place", "schema": SCHEMA, "strict": True}
    [choice] = complete(client, response_format={"type": "json_schema", "json_schema": named})["choices"]
    assert choice["message"] == {"role": "assistant", "content": ROME}
    complete(client, response_format={"type": "json_object"})
    assert llm.prompts == [prompt_of([USER], JsonFormat(SCHEMA, "place")), prompt_of([USER], JsonFormat())]


def test_tool_calls_and_results_of_the_history_are_in_the_prompt(serve: Serve) -> None:
    client, llm = serve("It rains.")
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ROME}}
    history: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be brief."},
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "rain"}]},
    ]
    [choice] = complete(client, messages=history)["choices"]
    assert choice["message"] == {"role": "assistant", "content": "It rains."}
    assert llm.prompts == [prompt_of(history)]
    assert "<tool_response>\nrain\n</tool_response>" in llm.prompts[0]


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
            "`tool_choice`: 'whether' is not one of the `tools`: ['weather', 'clock']",
        ),
        ({"tool_choice": "auto"}, "`tool_choice`: there are no `tools`"),
        ({"tool_choice": "required"}, "`tool_choice`: there are no `tools`"),
        ({"tools": TOOLS, "parallel_tool_calls": "no"}, "`parallel_tool_calls`"),
        ({"response_format": {"type": "yaml"}}, "`response_format.type`"),
        ({"response_format": {"type": "json_schema"}}, "`response_format`: `json_schema` is missing"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 3}}}},
            "`response_format.json_schema.schema`: schema.type: this is not a JSON schema",
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
        ({"messages": [USER, _calling(function={"name": "weather", "arguments": "3"})]}, "they are not a JSON object"),
        (
            {"messages": [USER, _calling(id=None, function={"name": "f", "arguments": "{}"})]},
            "`messages.1.tool_calls.0.id`",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "text only"),
    ],
)
def test_requests_that_openai_and_vllm_refuse_are_refused(client: Any, body: dict[str, Any], words: str) -> None:
    assert words in refused(client, **body)


def test_endpoints_may_share_one_model_object(serve: Serve) -> None:
    client, llm = serve("One.", "Two.")
    told = [complete(client, endpoint)["choices"][0]["message"]["content"] for endpoint in ("chat", "other")]
    assert (told, llm.answers_left) == (["One.", "Two."], 0)


def test_the_messages_wire_reads_the_servers_tool_calls(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = serve(TWICE, TWICE)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", client.meta.endpoint_url)
    llm = SageMakerLLM(endpoint_name="chat", wire="messages")
    use = ToolCallFormat.from_tools([tool["function"] for tool in TOOLS])
    messages = convert_to_messages([USER])
    [whole] = llm.complete(messages, output_format=use)
    pieces = list(llm.chunks(messages, output_format=use))
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


def test_a_model_with_its_own_template_accepts_tools_too(llm: LlamaCppLLM) -> None:
    with LocalRuntime({"chat": {"model": llm, "wire": "messages"}}) as runtime:
        client = boto3.client("sagemaker-runtime", endpoint_url=runtime.url)
        reply = complete(client, tools=TOOLS, max_tokens=8)
        bare = complete(client, max_tokens=8)
    assert reply["usage"]["prompt_tokens"] > bare["usage"]["prompt_tokens"] + 50
    assert reply["choices"][0]["finish_reason"] == "length"
