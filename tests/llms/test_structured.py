"""Structured answers: every kind of schema and method, one correction, then an error with the raw text."""

import asyncio
import json
import pickle
from typing import Any, Literal, get_args

import pytest
from langchain_core.language_models.fake import FakeListLLM
from pydantic import BaseModel, Field
from sagechain.llms import PromptedChatModel, errors
from sagechain.llms.chat.structured_output import Method
from sagechain.llms.testing import ScriptedLLM
from typing_extensions import TypedDict


class Offer(BaseModel):
    """An offer to a customer."""

    name: str
    price: int = Field(gt=0)


class OfferDict(TypedDict):
    """An offer to a customer."""

    name: str
    price: int


SCHEMA = {
    "title": "Offer",
    "description": "An offer to a customer.",
    "type": "object",
    "properties": {"name": {"type": "string"}, "price": {"type": "integer", "exclusiveMinimum": 0}},
    "required": ["name", "price"],
}
GOOD, BAD = '{"name": "tent", "price": 189}', '{"name": "tent", "price": -1}'
METHODS = get_args(Method)


class RecordingLLM(FakeListLLM):
    prompts: list[str]

    def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
        self.prompts.append(prompt)
        return super()._call(prompt, *args, **kwargs)

    async def _acall(self, prompt: str, *args: Any, **kwargs: Any) -> str:
        self.prompts.append(prompt)
        return await super()._acall(prompt, *args, **kwargs)


def chat_with(*answers: str, family: str = "chatml") -> tuple[PromptedChatModel, list[str]]:
    llm = RecordingLLM(responses=list(answers), prompts=[])
    return PromptedChatModel(llm=llm, family=family), llm.prompts


def tool_call(name: str, arguments: str) -> str:
    return f'<tool_call>{{"name": "{name}", "arguments": {arguments}}}</tool_call>'


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schema", [Offer, OfferDict, SCHEMA])
@pytest.mark.parametrize("family", ["chatml", "llama2", "falcon"])
def test_an_answer_is_a_value_of_the_schema(method: Method, schema: Any, family: str) -> None:
    name = getattr(schema, "__name__", "Offer")
    answer = tool_call(name, GOOD) if method == "function_calling" else f"Here it is:\n```json\n{GOOD}\n```"
    chat, prompts = chat_with(answer, family=family)
    value = chat.with_structured_output(schema, method=method).invoke("Offer me a tent.")
    assert value == (Offer(name="tent", price=189) if schema is Offer else {"name": "tent", "price": 189})
    assert len(prompts) == 1
    assert ('"price"' in prompts[0]) == (method != "json_mode")


@pytest.mark.parametrize("method", METHODS)
def test_an_answer_that_does_not_match_is_shown_to_the_model_once(method: Method) -> None:
    answers = [tool_call("Offer", text) if method == "function_calling" else text for text in (BAD, GOOD)]
    chat, prompts = chat_with(*answers)
    offers = chat.with_structured_output(Offer, method=method)
    assert offers.invoke("Offer me a tent.") == Offer(name="tent", price=189)
    assert len(prompts) == 2
    assert "-1" in prompts[1]
    assert "price" in prompts[1].split("-1")[1]


@pytest.mark.parametrize("method", METHODS)
def test_a_correction_that_does_not_match_is_an_error_with_the_raw_text(method: Method) -> None:
    chat, _ = chat_with("No.", "I have none.")
    with pytest.raises(errors.StructuredOutputFailed, match="it contains no JSON") as raised:
        chat.with_structured_output(Offer, method=method).invoke("Offer me a tent.")
    assert raised.value.raw_text == "I have none."
    assert pickle.loads(pickle.dumps(raised.value)).raw_text == "I have none."


def test_with_include_raw_nothing_is_raised() -> None:
    chat, _ = chat_with(BAD, BAD, GOOD)
    offers = chat.with_structured_output(Offer, method="json_schema", include_raw=True)
    failed, done = offers.invoke("Hi"), offers.invoke("Hi")
    assert (failed["raw"].text, failed["parsed"]) == (BAD, None)
    assert isinstance(failed["parsing_error"], errors.StructuredOutputFailed)
    assert (done["raw"].text, done["parsed"], done["parsing_error"]) == (GOOD, Offer(name="tent", price=189), None)


def test_json_mode_accepts_any_object_without_a_schema() -> None:
    chat, _ = chat_with('{"a": [1, 2,]}')
    assert chat.with_structured_output(method="json_mode").invoke("JSON, please.") == {"a": [1, 2]}
    with pytest.raises(ValueError, match="schema: json_schema needs one"):
        chat.with_structured_output(method="json_schema")
    with pytest.raises(ValueError, match="method: 'json' is unknown"):
        chat.with_structured_output(Offer, method="json")  # type: ignore[arg-type]


def test_the_async_form_gives_the_same_value() -> None:
    chat, prompts = chat_with(BAD, GOOD)
    value = asyncio.run(chat.with_structured_output(Offer, method="json_schema").ainvoke("Hi"))
    assert (value, len(prompts)) == (Offer(name="tent", price=189), 2)


class Order(BaseModel):
    """An order."""

    names: list[str]
    size: Literal["S", "M"] = "M"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schema", [Order, Order.model_json_schema()])
def test_an_answer_is_repaired_and_coerced_as_the_arguments_of_a_tool_call_are(method: Method, schema: Any) -> None:
    written = "{'names': 'tent', 'Size': 's',}"
    chat, prompts = chat_with(
        tool_call("Order", written) if method == "function_calling" else f"Sure: {written} Enjoy!"
    )
    value = chat.with_structured_output(schema, method=method).invoke("A small tent.")
    assert value == (Order(names=["tent"], size="S") if schema is Order else {"names": ["tent"], "size": "S"})
    assert len(prompts) == 1


@pytest.mark.parametrize("method", METHODS)
def test_an_invalid_schema_is_refused_before_any_request(method: Method) -> None:
    chat, prompts = chat_with("x")
    broken = {"title": "Offer", "type": "object", "properties": {"name": {"type": "str"}}}
    with pytest.raises(ValueError, match=r"schema\.properties\.name\.type: 'str' is unknown\. Did you mean 'string'"):
        chat.with_structured_output(broken, method=method)
    with pytest.raises(ValueError, match=r"schema\.properties\.name\.type: 'str' is unknown"):
        chat.invoke("Hi", response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": broken}})
    assert prompts == []


def test_tags_that_were_escaped_in_the_prompt_are_restored_in_the_answer() -> None:
    llm = ScriptedLLM(answers=[json.dumps({"name": "<\\|im_end|> <\\tool_call>", "price": 1})])
    chat = PromptedChatModel(llm=llm)
    value = chat.with_structured_output(Offer, method="json_schema").invoke("Call it <|im_end|> <tool_call>.")
    assert "Call it <\\|im_end|> <\\tool_call>." in llm.prompts[0]
    assert value == Offer(name="<|im_end|> <tool_call>", price=1)
