"""The system text of a model's catalogue entry in a conversation: sent where no other one is given."""

from typing import Any

import pytest
from langchain_core.messages import ChatMessage, HumanMessage, SystemMessage
from sagechain.chains import conversation
from sagechain.llms import ModelDefaults, PromptedChatModel
from sagechain.llms.testing import ScriptedLLM

KIND = "<|im_start|>system\nYou are kind.<|im_end|>\n"
BRIEF = "<|im_start|>system\nBe brief.<|im_end|>\n"
EMPTY = "<|im_start|>system\n<|im_end|>\n"
HI = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("system", "messages", "prompt"),
    [
        (None, [HumanMessage("Hi")], KIND + HI),
        ("Be brief.", [HumanMessage("Hi")], BRIEF + HI),
        ("", [HumanMessage("Hi")], EMPTY + HI),  # no text, and the model adds none of its own
        (None, [SystemMessage("Be brief."), HumanMessage("Hi")], BRIEF + HI),
        (None, [ChatMessage(content="Be brief.", role="system"), HumanMessage("Hi")], BRIEF + HI),
    ],
)
def test_it_is_sent_where_neither_the_conversation_nor_the_turn_has_one(
    system: str | None, messages: list[Any], prompt: str
) -> None:
    llm = ScriptedLLM(["Hello."])
    chat = PromptedChatModel(llm=llm, family="chatml", defaults=ModelDefaults(system="You are kind."))
    graph = conversation(chat, system=system)
    graph.invoke({"messages": messages}, {"configurable": {"thread_id": "ada"}})
    assert llm.prompts == [prompt]
