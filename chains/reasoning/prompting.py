"""Ask a model a question with worked examples before it: as `Q: … A: …` text, or as messages to a chat model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseLanguageModel, LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import Generation, LLMResult
from langchain_core.runnables import RunnableConfig
from sagechain.llms import PromptedChatModel, TextModel

NEXT_QUESTION = "\nQ:"


@dataclass(frozen=True)
class Ask:
    """One question to the model.

    `examples` are (question, answer) pairs; `begun` is the beginning of the answer, which the model goes on with;
    `max_new_tokens` is a limit for models that have none of their own.
    """

    question: str
    examples: tuple[tuple[str, str], ...] = ()
    begun: str = ""
    max_new_tokens: int = 256

    @property
    def text(self) -> str:
        """The text that a model continues."""
        worked = "".join(f"Q: {question}\nA: {answer}\n\n" for question, answer in self.examples)
        return f"{worked}Q: {self.question}\nA: {self.begun}".rstrip()

    @property
    def messages(self) -> list[BaseMessage]:
        """The same for a chat model, which can't be made to go on with an answer: it is told how to begin."""
        worked: list[BaseMessage] = []
        for question, answer in self.examples:
            worked += [HumanMessage(question), AIMessage(answer)]
        asked = f"{self.question}\n\nBegin your answer with: {self.begun}" if self.begun else self.question
        return [*worked, HumanMessage(asked)]


@dataclass(frozen=True)
class Answer:
    """What the model said, with its token counts where it gives them, and `cut` where it ran into the token limit."""

    text: str
    usage: dict[str, int]

    @property
    def whole(self) -> bool:
        """Whether the model ended by itself, as far as it says."""
        return "cut" not in self.usage


def ask(model: BaseLanguageModel[Any], asks: Sequence[Ask], config: RunnableConfig) -> list[Answer]:
    """The answers to several questions, asked together."""
    if isinstance(model, BaseChatModel):
        messages: list[LanguageModelInput] = [each.messages for each in asks]
        return [_of_message(m) for m in model.batch(messages, config, stop=[NEXT_QUESTION], **_limit(model, asks))]
    assert isinstance(model, BaseLLM)
    texts = [each.text for each in asks]
    return _of_result(model.generate(texts, [NEXT_QUESTION], callbacks=config.get("callbacks"), **_limit(model, asks)))


async def aask(model: BaseLanguageModel[Any], asks: Sequence[Ask], config: RunnableConfig) -> list[Answer]:
    """As `ask`."""
    if isinstance(model, BaseChatModel):
        messages: list[LanguageModelInput] = [each.messages for each in asks]
        answers = await model.abatch(messages, config, stop=[NEXT_QUESTION], **_limit(model, asks))
        return [_of_message(message) for message in answers]
    assert isinstance(model, BaseLLM)
    texts = [each.text for each in asks]
    return _of_result(
        await model.agenerate(texts, [NEXT_QUESTION], callbacks=config.get("callbacks"), **_limit(model, asks))
    )


def _limit(model: BaseLanguageModel[Any], asks: Sequence[Ask]) -> dict[str, Any]:
    """A token limit for our own models that have none: without one a small model may never end."""
    inner = model.llm if isinstance(model, PromptedChatModel) else model
    if not isinstance(inner, TextModel) or inner.max_new_tokens is not None:
        return {}
    if isinstance(model, PromptedChatModel) and model.max_tokens is not None:
        return {}
    return {"max_new_tokens": max(each.max_new_tokens for each in asks)}


def _of_message(message: AIMessage) -> Answer:
    return Answer(message.text, _counts({**(message.usage_metadata or {}), **message.response_metadata}))


def _of_result(result: LLMResult) -> list[Answer]:
    answers = []
    for generations in result.generations:
        assert isinstance(generations[0], Generation)
        answers.append(Answer(generations[0].text, _counts(generations[0].generation_info or {})))
    return answers


def _counts(figures: Mapping[str, Any]) -> dict[str, int]:
    counts = {name: figures[name] for name in ("input_tokens", "output_tokens") if name in figures}
    return {**counts, "cut": 1} if figures.get("finish_reason") == "length" else counts
