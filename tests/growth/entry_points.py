"""The public functions that read text of people, models, tools or servers: each takes one text of any size."""

import io
import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from sagechain.agents.shop.database import ShopDatabase
from sagechain.agents.shop.matching_products import matching_products
from sagechain.apps.logs.store import match_expression
from sagechain.apps.questions.answer_schema import read_schema
from sagechain.apps.questions.code_blocks import extract_code
from sagechain.apps.questions.fragments import Fragment
from sagechain.apps.questions.prompt_files import read_prompt
from sagechain.chains import chain_of_thought, code_completion, conversation, extract_answer, same_answer
from sagechain.llms import PromptedChatModel, load_chat_model
from sagechain.llms.sagemaker.content_handlers import WireContentHandler
from sagechain.llms.testing import ScriptedLLM
from sagechain.llms.wires import get_wire, list_wires
from sagechain.llms.wires.wire_error import WireError
from sagechain.prompts import get_family, list_families, load_prompt, visible
from sagechain.prompts.library import AnswerKind

Read = Callable[[str], Any]

COMMAND = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
TOOL = {"type": "function", "function": {"name": "run_cmd", "description": "Run it.", "parameters": COMMAND}}
FAMILIES = [name for name in list_families() if get_family(name).stop]
THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}


def _chat(text: str, family: str = "chatml", **fields: Any) -> PromptedChatModel:
    return PromptedChatModel(llm=ScriptedLLM([text] * 3, family=family), **fields)


def _plain(text: str) -> ScriptedLLM:
    return ScriptedLLM([text], family="plain")


def _one_message(text: str) -> list[BaseMessage]:
    return [HumanMessage(text)]


def _after_a_system_text(text: str) -> list[BaseMessage]:
    return [SystemMessage(text), HumanMessage("q")]


def _rendered(family: str, role: Callable[[str], list[BaseMessage]]) -> Read:
    return lambda text: get_family(family).render(role(text))


def _streamed(text: str) -> None:
    # A fifth of the text: LangChain alone takes 0.1 ms for each chunk, here of one token.
    for _ in _chat(text[: len(text) // 5]).bind_tools([TOOL]).stream("q"):
        pass


def _with_tools(family: str) -> Read:
    return lambda text: _chat(text, family).bind_tools([TOOL]).invoke("q")


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


def _reasoned(text: str) -> Any:
    return chain_of_thought(_plain(text), strategy="few-shot-cot").invoke({"question": text})


def _talk(text: str) -> None:
    graph = conversation(_chat(text), history_tokens=200)
    for _ in range(2):
        graph.invoke({"messages": [HumanMessage(text)]}, THREAD)


def _shop_search(text: str) -> Any:
    with TemporaryDirectory() as folder:
        return matching_products(ShopDatabase(Path(folder) / "shop.sqlite"), [text, text])


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


KINDS_OF_ANSWERS: tuple[AnswerKind, ...] = ("number", "word", "list", "yes-no")
METHODS = ("function_calling", "json_schema", "json_mode")
ADDRESS = "sagemaker:{}?family=falcon&region=us-east-1"

ENTRY_POINTS: dict[str, Read] = {
    **{f"a message, {family}": _rendered(family, _one_message) for family in FAMILIES},
    **{f"a system text, {family}": _rendered(family, _after_a_system_text) for family in FAMILIES},
    "a tool's result": lambda text: _chat("ok").bind_tools([TOOL]).invoke(_after_a_tool(text)),
    "a history of dicts": _dict_history,
    **{f"an answer with tools, {family}": _with_tools(family) for family in FAMILIES},
    "a streamed answer with tools": _streamed,
    "a forced tool call": lambda text: _chat(text).bind_tools([TOOL], tool_choice="any").invoke("q"),
    **{f"structured output, {method}": _structured(method) for method in METHODS},
    "an answer with stop strings": lambda text: _chat(text, stop=["zz", "</end>"]).invoke("q"),
    "an answer of another LLM": _other_llm,
    **{f"an answer, {kind}": partial(extract_answer, kind=kind) for kind in KINDS_OF_ANSWERS},
    **{f"equal answers, {kind}": partial(same_answer, truth="5", kind=kind) for kind in KINDS_OF_ANSWERS},
    "a chain of thought": _reasoned,
    "code completion": lambda text: code_completion(_plain(text)).invoke("def f(x):\n"),
    "code completion of a line": lambda text: code_completion(_plain(text), until="line").invoke(text),
    "a conversation": _talk,
    "counting tokens": lambda text: load_chat_model(ADDRESS.format("e")).get_num_tokens(text),
    **{f"a stream, {wire}": _decoded(wire) for wire in list_wires() if get_wire(wire).streams},
    **{f"a reply, {wire}": _handled(wire) for wire in list_wires()},
    "a token of a stream": _token_event,
    "a family's name": get_family,
    "a model's address": load_chat_model,
    "an endpoint's name": lambda text: load_chat_model(ADDRESS.format(text)),
    "a prompt's variable": lambda text: load_prompt("sentiment").format(text=text),
    "a prompt's file": lambda text: read_prompt("p", text.encode(errors="replace"), is_yaml=False),
    "a file of a question": lambda text: str(Fragment("a", text)),
    "the code of an answer": extract_code,
    "the fields of a schema": read_schema,
    "a search of the log": match_expression,
    "a product": _shop_search,
    "text on a terminal": visible,
}
"""What is read → the function that reads it; it may refuse the text with a ValueError or an LLMError."""
