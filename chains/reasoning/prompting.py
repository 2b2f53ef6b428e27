"""Send questions with worked examples to a model: as `Q: … A: …` text, or as messages to a chat model."""

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
class Prompt:
    """One question to the model.

    `examples` are (question, answer) pairs; `answer_start` is the start of the answer, which the model continues;
    `max_new_tokens` is the limit for models without one of their own.
    """

    question: str
    examples: tuple[tuple[str, str], ...] = ()
    answer_start: str = ""
    max_new_tokens: int = 256

    @property
    def text(self) -> str:
        """The text that an LLM continues."""
        worked = "".join(f"Q: {question}\nA: {answer}\n\n" for question, answer in self.examples)
        return f"{worked}Q: {self.question}\nA: {self.answer_start}".rstrip()

    @property
    def messages(self) -> list[BaseMessage]:
        """The same for a chat model, which cannot continue an answer and is instructed how to start instead."""
        worked: list[BaseMessage] = []
        for question, answer in self.examples:
            worked += [HumanMessage(question), AIMessage(answer)]
        start = f"\n\nBegin your answer with: {self.answer_start}" if self.answer_start else ""
        return [*worked, HumanMessage(f"{self.question}{start}")]


@dataclass(frozen=True)
class Answer:
    """The model's text, with its token counts where the model reports them, and `cut` where it was truncated."""

    text: str
    usage: dict[str, int]

    @property
    def is_truncated(self) -> bool:
        """Whether the answer ended at the token limit, as far as the model reports it."""
        return "cut" in self.usage


def send(model: BaseLanguageModel[Any], prompts: Sequence[Prompt], config: RunnableConfig) -> list[Answer]:
    """The answers to several prompts, sent together."""
    if isinstance(model, BaseChatModel):
        messages: list[LanguageModelInput] = [prompt.messages for prompt in prompts]
        replies = model.batch(messages, config, stop=[NEXT_QUESTION], **_limit(model, prompts))
        return [_message_answer(reply) for reply in replies]
    assert isinstance(model, BaseLLM)
    texts = [prompt.text for prompt in prompts]
    result = model.generate(texts, [NEXT_QUESTION], callbacks=config.get("callbacks"), **_limit(model, prompts))
    return _result_answers(result)


async def asend(model: BaseLanguageModel[Any], prompts: Sequence[Prompt], config: RunnableConfig) -> list[Answer]:
    """As `send`."""
    if isinstance(model, BaseChatModel):
        messages: list[LanguageModelInput] = [prompt.messages for prompt in prompts]
        replies = await model.abatch(messages, config, stop=[NEXT_QUESTION], **_limit(model, prompts))
        return [_message_answer(reply) for reply in replies]
    assert isinstance(model, BaseLLM)
    texts = [prompt.text for prompt in prompts]
    result = await model.agenerate(texts, [NEXT_QUESTION], callbacks=config.get("callbacks"), **_limit(model, prompts))
    return _result_answers(result)


def _limit(model: BaseLanguageModel[Any], prompts: Sequence[Prompt]) -> dict[str, Any]:
    """A token limit for models of sagechain that have none: without one a small model may never end."""
    inner = model.llm if isinstance(model, PromptedChatModel) else model
    if not isinstance(inner, TextModel) or inner.max_new_tokens is not None:
        return {}
    if isinstance(model, PromptedChatModel) and model.max_tokens is not None:
        return {}
    return {"max_new_tokens": max(prompt.max_new_tokens for prompt in prompts)}


def _message_answer(message: AIMessage) -> Answer:
    return Answer(message.text, _counts({**(message.usage_metadata or {}), **message.response_metadata}))


def _result_answers(result: LLMResult) -> list[Answer]:
    answers = []
    for generations in result.generations:
        assert isinstance(generations[0], Generation)
        answers.append(Answer(generations[0].text, _counts(generations[0].generation_info or {})))
    return answers


def _counts(metadata: Mapping[str, Any]) -> dict[str, int]:
    counts = {name: metadata[name] for name in ("input_tokens", "output_tokens") if name in metadata}
    return {**counts, "cut": 1} if metadata.get("finish_reason") == "length" else counts
