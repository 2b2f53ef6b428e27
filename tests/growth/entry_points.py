"""The public functions that read text of people, models, tools or servers: each takes one text of any size."""

import io
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from sagechain.chains import chain_of_thought, code_completion, conversation, extract_answer, same_answer
from sagechain.command import visible
from sagechain.llms import PromptedChatModel, load_chat_model
from sagechain.llms.sagemaker.content_handlers import WireContentHandler
from sagechain.llms.testing import ScriptedLLM
from sagechain.llms.wires import get_wire, list_wires
from sagechain.llms.wires.wire_error import WireError
from sagechain.prompts import get_family, list_families, load_prompt

Read = Callable[[str], Any]

COMMAND = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
TOOL = {"type": "function", "function": {"name": "run_cmd", "description": "Run it.", "parameters": COMMAND}}
FAMILIES = [name for name in list_families() if get_family(name).stop]
THREAD = {"configurable": {"thread_id": "t"}}


def _chat(text: str, family: str = "chatml", **fields: Any) -> PromptedChatModel:
    return PromptedChatModel(llm=ScriptedLLM([text] * 3, family=family), **fields)


def _rendered(family: str, role: Callable[[str], list[BaseMessage]]) -> Read:
    return lambda text: get_family(family).render(role(text))


def _streamed(text: str) -> None:
    for _ in _chat(text).bind_tools([TOOL]).stream("q"):
        pass


def _structured(method: Any) -> Read:
    return lambda text: _chat(text).with_structured_output(COMMAND | {"title": "Command"}, method=method).invoke("q")


def _after_a_tool(text: str) -> list[BaseMessage]:
    call = {"name": "run_cmd", "args": {"command": text}, "id": "1"}
    return [HumanMessage("q"), AIMessage(text, tool_calls=[call]), ToolMessage(text, tool_call_id="1")]


def _dict_history(text: str) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "run_cmd", "arguments": text}}
    _chat("ok").invoke([{"role": "user", "content": "q"}, {"role": "assistant", "content": None, "tool_calls": [call]}])


def _other_llm(text: str) -> None:
    model = PromptedChatModel(llm=FakeListLLM(responses=[text]), family="falcon", stop=["a b"])
    for _ in model.stream("q"):
        pass


def _talk(text: str) -> None:
    graph = conversation(_chat(text), history_tokens=200)
    for _ in range(2):
        graph.invoke({"messages": [HumanMessage(text)]}, THREAD)


def _decoded(wire: str) -> Read:
    def read(text: str) -> None:
        decoder, data = get_wire(wire).decoder(), text.encode()
        with suppress(WireError):
            for start in range(0, len(data), 64):
                for _ in decoder.feed(data[start : start + 64]):
                    pass
            for _ in decoder.flush():
                pass

    return read


def _token_event(text: str) -> None:
    event = json.dumps({"token": {"id": 1, "text": text, "special": False}, "generated_text": None})
    for _ in get_wire("tgi").decoder().feed(f"data:{event}\n".encode()):
        pass


def _handled(wire: str) -> Read:
    return lambda text: WireContentHandler(wire).transform_output(io.BytesIO(text.encode()))


ENTRY_POINTS: dict[str, Read] = {
    **{f"a message, {name}": _rendered(name, lambda text: [HumanMessage(text)]) for name in FAMILIES},
    **{f"a system text, {name}": _rendered(name, lambda text: [SystemMessage(text), HumanMessage("q")]) for name in FAMILIES},
    "a tool's result": lambda text: _chat("ok").bind_tools([TOOL]).invoke(_after_a_tool(text)),
    "a history of dicts": _dict_history,
    **{f"an answer with tools, {name}": lambda text, name=name: _chat(text, name).bind_tools([TOOL]).invoke("q") for name in FAMILIES},
    "a streamed answer with tools": _streamed,
    "a forced tool call": lambda text: _chat(text).bind_tools([TOOL], tool_choice="any").invoke("q"),
    **{f"structured output, {method}": _structured(method) for method in ("function_calling", "json_schema", "json_mode")},
    "an answer with stop strings": lambda text: _chat(text, stop=["zz", "</end>"]).invoke("q"),
    "an answer of another LLM": _other_llm,
    **{f"an answer, {kind}": lambda text, kind=kind: extract_answer(text, kind) for kind in ("number", "word", "list", "yes-no")},
    **{f"equal answers, {kind}": lambda text, kind=kind: same_answer(text, "5", kind) for kind in ("number", "word", "list", "yes-no")},
    "a chain of thought": lambda text: chain_of_thought(ScriptedLLM([text], family="plain"), strategy="few-shot-cot").invoke({"question": text}),
    "code completion": lambda text: code_completion(ScriptedLLM([text], family="plain")).invoke("def f(x):\n"),
    "code completion of a line": lambda text: code_completion(ScriptedLLM([text], family="plain"), until="line").invoke(text),
    "a conversation": _talk,
    "counting tokens": lambda text: load_chat_model("sagemaker:e?family=falcon&region=us-east-1").get_num_tokens(text),
    **{f"a stream, {wire}": _decoded(wire) for wire in list_wires() if get_wire(wire).streams},
    **{f"a reply, {wire}": _handled(wire) for wire in list_wires()},
    "a token of a stream": _token_event,
    "a family's name": get_family,
    "a model's address": load_chat_model,
    "an endpoint's name": lambda text: load_chat_model(f"sagemaker:{text}?family=falcon&region=us-east-1"),
    "a prompt's variable": lambda text: load_prompt("sentiment").format(text=text),
    "text on a terminal": visible,
}  # fmt: skip
"""What is read → the function that reads it; it may refuse the text with a ValueError or an LLMError."""
