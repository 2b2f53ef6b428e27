"""A chat model that answers with the messages of a script, and records what it gets."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCall
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr


class ScriptedChat(BaseChatModel):
    """Streams word by word; at the end of the script its last message is repeated."""

    script: list[AIMessage]
    # Private, since LangChain serialises all fields of a model at each generation.
    _calls: list[tuple[list[BaseMessage], list[dict[str, Any]]]] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def calls(self) -> list[tuple[list[BaseMessage], list[dict[str, Any]]]]:
        """The messages and the tools of each generation."""
        return self._calls

    @property
    def everything(self) -> str:
        """All input of the model as one text."""
        return repr(self.calls)

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _next(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        self.calls.append((list(messages), kwargs.get("tools", [])))
        return self.script[min(len(self.calls), len(self.script)) - 1].model_copy()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages, kwargs))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        message = self._next(messages, kwargs)
        words = message.text.split(" ")
        for i, word in enumerate(words):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word if i == 0 else f" {word}"))
        texts = [(call["name"], json.dumps(call["args"]), call["id"]) for call in message.tool_calls]
        texts += [(str(call["name"]), str(call["args"]), call["id"]) for call in message.invalid_tool_calls]
        if texts:
            chunks = [tool_call_chunk(name=n, args=a, id=id_, index=i) for i, (n, a, id_) in enumerate(texts)]
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=chunks))


def says(text: str) -> AIMessage:
    return AIMessage(text)


def calls(tool: str, call_id: str = "1", /, **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[ToolCall(name=tool, args=args, id=call_id)])
