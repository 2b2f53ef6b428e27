"""A chat model whose answers name no figure that the shop has not told.

What it says is let through sentence by sentence, each once its figures were found among the facts (`facts.py`), so an
answer still streams. At the first sentence with another figure the model's work ends; of that sentence nothing is shown:

- where sentences were shown before it, or `quoted` is set, the facts themselves end the answer;
- else the message is empty, and `unfounded(message)` tells the figure, so that the model can be asked again
  (`advising.py`).

Tool calls pass whatever was said beside them: their results bring the facts.
"""

import re
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, closing
from itertools import pairwise
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import ModelProfile
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding
from pydantic import ConfigDict
from sagechain.chains.conversations import StreamClosed

from .facts import Facts

UNFOUNDED = "unfounded"
_SENTENCE_END = re.compile(r"[.!?]\s|\n")


class CheckedChat(BaseChatModel):
    """`chat`, checked.

    Args:
        chat: the model that is asked.
        facts: what it may name.
        instead: what ends an answer in place of a sentence with other figures.
        quoted: whether `instead` is the whole answer where its first sentence is such a one.
        left: set when nobody reads a sync stream any more.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    chat: BaseChatModel
    facts: Facts
    instead: str
    quoted: bool = False
    left: threading.Event | None = None

    @classmethod
    def over(cls, chat: BaseChatModel, **options: Any) -> "CheckedChat":
        """The same model, checked, with what LangChain does around its calls."""
        streams = type(chat)._stream is not BaseChatModel._stream or type(chat)._astream is not BaseChatModel._astream
        around = {name: getattr(chat, name) for name in ("cache", "rate_limiter", "callbacks", "tags", "metadata")}
        return cls(chat=chat, disable_streaming=chat.disable_streaming if streams else True, **around, **options)

    @property
    def _llm_type(self) -> str:
        return "sagechain-checked"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**self.chat._identifying_params, "instead": self.instead, "quoted": self.quoted}

    def _resolve_model_profile(self) -> ModelProfile | None:
        return self.chat.profile

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """As the model's own."""
        bound = self.chat.bind_tools(tools, **kwargs)
        if not isinstance(bound, RunnableBinding):
            raise ValueError(f"model: {type(self.chat).__name__}.bind_tools gives no binding; wrap the model itself")
        return cast("Runnable[Any, AIMessage]", self.bind(**bound.kwargs))

    # The model's own methods are called, not `invoke`: one call is one run, and a piece is told of once.

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._whole(self.chat._generate(messages, stop, run_manager, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._whole(await self.chat._agenerate(messages, stop, run_manager, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        gate = self._gate()
        # The pieces are told of when they have been checked, so the model gets no one to tell.
        with closing(cast(Any, self.chat._stream(messages, stop, None, **kwargs))) as pieces:
            for piece in pieces:
                if self.left is not None and self.left.is_set():
                    raise StreamClosed
                yield from _told(gate.checked(piece), run_manager)
                if gate.is_shut and not kwargs.get("tools"):
                    break
        yield from _told(gate.end(), run_manager)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        gate = self._gate()
        async with aclosing(cast(Any, self.chat._astream(messages, stop, None, **kwargs))) as pieces:
            async for piece in pieces:
                if (chunk := gate.checked(piece)) is not None:
                    await _atell(chunk, run_manager)
                    yield chunk
                if gate.is_shut and not kwargs.get("tools"):
                    break
        if (chunk := gate.end()) is not None:
            await _atell(chunk, run_manager)
            yield chunk

    def _gate(self) -> "_Gate":
        return _Gate(self.facts, self.instead, self.quoted)

    def _whole(self, result: ChatResult) -> ChatResult:
        """The answer as its stream would have been."""
        message = cast(AIMessage, result.generations[0].message)
        gate = self._gate()
        gate.calls = bool(message.tool_calls or message.invalid_tool_calls)
        shown = gate.fed(message.text) + gate.rest()
        if not gate.is_shut:
            return result
        about = {**message.response_metadata, **gate.about}
        content = _with_text(message.content, shown)
        checked = message.model_copy(update={"content": content, "response_metadata": about})
        return ChatResult(generations=[ChatGeneration(message=checked)], llm_output=result.llm_output)


class _Gate:
    """Lets whole sentences through until one names a figure that is no fact; then it is shut."""

    def __init__(self, facts: Facts, instead: str, quoted: bool) -> None:
        self._facts, self._instead, self._quoted = facts, instead, quoted
        self._held, self._shown = "", False
        self._false: str | None = None
        self.calls = False

    @property
    def is_shut(self) -> bool:
        """Whether a figure was found that is no fact."""
        return self._false is not None

    @property
    def about(self) -> dict[str, Any]:
        """What the message's metadata tells of it."""
        return {UNFOUNDED: self._false} if self._false is not None and not self.calls else {}

    def fed(self, text: str) -> str:
        """What can be shown now that this text has come."""
        if self.is_shut:
            return ""
        self._held += text
        ends = [found.end() for found in _SENTENCE_END.finditer(self._held)]
        return self._passed(ends[-1]) if ends else ""

    def rest(self) -> str:
        """What can be shown now that no more comes."""
        last = "" if self.is_shut else self._passed(len(self._held))
        if not self.about or not (self._shown or self._quoted):
            return last
        return f"{last}\n\n{self._instead}" if self._shown else self._instead

    def checked(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk | None:
        """The chunk with what can be shown; None where nothing is left of it."""
        message = cast(AIMessageChunk, chunk.message)
        self.calls = self.calls or bool(message.tool_call_chunks)
        shown = message.model_copy(update={"content": _with_text(message.content, self.fed(message.text))})
        if not any(shown.model_dump(exclude={"type", "id", "name"}).values()) and not chunk.generation_info:
            return None
        return ChatGenerationChunk(message=shown, generation_info=chunk.generation_info)

    def end(self) -> ChatGenerationChunk | None:
        """The last chunk, where there is something left to say."""
        shown = self.rest()
        if not shown and not self.about:
            return None
        return ChatGenerationChunk(message=AIMessageChunk(content=shown, response_metadata=self.about))

    def _passed(self, end: int) -> str:
        """The sentences up to `end`, as far as they are founded."""
        whole, self._held = self._held[:end], self._held[end:]
        shown = ""
        for sentence in _sentences(whole):
            if (false := self._facts.unfounded(sentence)) is not None:
                self._false, self._held = false, ""
                break
            shown += sentence
        self._shown = self._shown or bool(shown.strip())
        return shown


def _with_text(content: str | list[Any], text: str) -> str | list[Any]:
    """The content with another text; of a list, blocks that are no text stay, such as a model's thoughts."""
    if isinstance(content, str):
        return text
    others = [block for block in content if isinstance(block, dict) and block.get("type") != "text"]
    return [*others, {"type": "text", "text": text}] if text else others


def unfounded(message: BaseMessage) -> str | None:
    """The figure for which an answer was held back."""
    return cast("str | None", message.response_metadata.get(UNFOUNDED))


def _sentences(text: str) -> list[str]:
    ends = [0, *(found.end() for found in _SENTENCE_END.finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(ends) if a < b]


def _told(
    chunk: ChatGenerationChunk | None, run_manager: CallbackManagerForLLMRun | None
) -> Iterator[ChatGenerationChunk]:
    if chunk is None:
        return
    if run_manager:
        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
    yield chunk


async def _atell(chunk: ChatGenerationChunk, run_manager: AsyncCallbackManagerForLLMRun | None) -> None:
    if run_manager:
        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
