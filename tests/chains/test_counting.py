"""A conversation over a chat model that has no tokenizer: tokens are estimated, without the network and without GPT-2."""

from typing import Any

import pytest
from langchain_aws import ChatBedrockConverse
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from pydantic import Field
from sagechain.chains import conversation

THREAD: RunnableConfig = {"configurable": {"thread_id": "a"}}


class Recording(FakeListChatModel):
    """Records the number of messages that it gets."""

    responses: list[str] = Field(default=["Yes."])
    sent: list[int] = Field(default=[])

    def _call(self, messages: Any, *args: Any, **options: Any) -> str:
        self.sent.append(len(messages))
        return str(super()._call(messages, *args, **options))


class Broken(Recording):
    """Its tokenizer is not there."""

    def get_token_ids(self, text: str) -> list[int]:
        raise ImportError("no tokenizer")


class Counting(Recording):
    """Every letter is a token."""

    def get_token_ids(self, text: str) -> list[int]:
        return list(text.encode())


@pytest.mark.parametrize("model", [Recording(sent=[]), Broken(sent=[])], ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("summarise", [False, True])
def test_tokens_are_estimated_where_the_model_cannot_count(model: Recording, summarise: bool) -> None:
    model.sent.clear()
    graph = conversation(model, system="Be brief.", history_tokens=100, summarise=summarise)
    for number in range(8):
        graph.invoke({"messages": [HumanMessage(f"{number} " + "word " * 20)]}, THREAD)
    assert max(model.sent) <= 8
    with pytest.raises(ValueError, match=r"the last turn is .* tokens too long"):
        graph.invoke({"messages": [HumanMessage("word " * 2000)]}, THREAD)


def test_a_tokenizer_of_the_model_is_used() -> None:
    graph = conversation(Counting(sent=[]), history_tokens=20)
    # LangChain counts "Human: " too.
    with pytest.raises(ValueError, match="the last turn is 87 tokens too long for the 20"):
        graph.invoke({"messages": [HumanMessage("x" * 100)]}, THREAD)


def test_a_model_of_bedrock_that_cannot_be_reached_is_not_counted_by_gpt_2() -> None:
    model = ChatBedrockConverse(model_id="anthropic.claude-3-5-sonnet-20240620-v1:0", region_name="us-east-1")
    graph = conversation(model, system="Be brief.", history_tokens=10)
    with pytest.raises(ValueError, match=r"the last turn is .* tokens too long"):
        graph.invoke({"messages": [HumanMessage("word " * 500)]}, THREAD)
