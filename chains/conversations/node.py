"""The one node of a conversation: picks the messages that fit, sends them to the model, returns what changes in the state.

The node has a sync and an async form: LangGraph runs a sync-only node to its end after a cancellation, and a graph with an
async-only node has no `invoke`.
"""

import threading
from collections.abc import Generator
from contextlib import closing
from functools import partial
from typing import Any, cast

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import (
    AIMessageChunk,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    message_chunk_to_message,
)
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.constants import TAG_NOSTREAM
from sagechain.llms import PromptedChatModel, is_system
from sagechain.prompts import check_characters

from ..turns import open_turn
from .history import History
from .summaries import Summaries
from .threads import STREAM_CLOSED, ConversationState, StreamClosed


class AnswerNode(Runnable[ConversationState, ConversationState]):
    """Answers the open turn of a conversation.

    Args:
        chat: the model.
        system: the system text; None for the model's own, where it has one; empty for none.
        examples: messages sent before every turn.
        history_tokens: most tokens of the thread that are sent; None: as many as fit.
        summarise: whether trimmed turns are summarised by the model.
    """

    def __init__(
        self,
        chat: BaseChatModel,
        system: str | None,
        examples: list[BaseMessage],
        history_tokens: int | None,
        summarise: bool,
    ) -> None:
        self._chat, self._system, self._examples = chat, system, examples
        defaults = chat.defaults if isinstance(chat, PromptedChatModel) else None
        self._default_system = (defaults and defaults.system) or ""
        self._summaries = Summaries(chat) if summarise else None
        reserved = self._summaries.tokens if self._summaries else 0
        self._history = History(chat, self._prefix("", []), history_tokens, reserved)

    def invoke(self, input: ConversationState, config: RunnableConfig | None = None, **_: Any) -> ConversationState:
        window, trimmed = self._split(input["messages"])
        summary = input.get("summary", "")
        if trimmed and self._summaries:
            summary = self._summaries.invoke(summary, trimmed, partial(_reply, self._chat, config=_unstreamed(config)))
        reply = _reply(self._chat, [*self._prefix(summary, window), *window], config)
        return _state_update(input["messages"], trimmed, summary, reply)

    async def ainvoke(
        self, input: ConversationState, config: RunnableConfig | None = None, **_: Any
    ) -> ConversationState:
        window, trimmed = self._split(input["messages"])
        summary = input.get("summary", "")
        if trimmed and self._summaries:
            generate = partial(self._chat.ainvoke, config=_unstreamed(config))
            summary = await self._summaries.ainvoke(summary, trimmed, generate)
        reply = await self._chat.ainvoke([*self._prefix(summary, window), *window], config)
        return _state_update(input["messages"], trimmed, summary, reply)

    def _split(self, messages: list[AnyMessage]) -> tuple[list[BaseMessage], list[BaseMessage]]:
        """The newest turns, which are sent, and the older ones, which are trimmed."""
        if not (turn := open_turn(messages)):
            raise ValueError("messages: they end with an answer, so nothing is left to answer; add the next message")
        for position, message in enumerate(turn):
            if isinstance(message, HumanMessage | SystemMessage):
                check_characters(message.text, position)
        window = self._history.window(messages)
        return window, list(messages[: len(messages) - len(window)])

    def _prefix(self, summary: str, window: list[BaseMessage]) -> list[BaseMessage]:
        """The messages before the turns: system text with the summary, and examples."""
        has_own = any(map(is_system, window))
        given = ("" if has_own else self._default_system) if self._system is None else self._system
        texts = [given, self._summaries.system_text(summary) if summary and self._summaries else ""]
        system = "\n\n".join(text for text in texts if text)
        # An empty system message keeps the model from adding its default.
        is_needed = bool(system) or bool(self._default_system and not has_own)
        return [*([SystemMessage(system)] if is_needed else []), *self._examples]


def _state_update(
    messages: list[AnyMessage], trimmed: list[BaseMessage], summary: str, reply: BaseMessage
) -> ConversationState:
    """The question is repeated: LangGraph may save a node's output before the thread's own messages."""
    removed = [RemoveMessage(str(message.id)) for message in trimmed]
    changed = cast(list[AnyMessage], [*removed, *open_turn(messages), reply])
    return {"messages": changed, "summary": summary} if summary else {"messages": changed}


def _unstreamed(config: RunnableConfig | None) -> RunnableConfig:
    """For a generation whose tokens are not part of the answer: LangGraph leaves them out of its streams."""
    return merge_configs(config, {"tags": [TAG_NOSTREAM]})


def _reply(
    chat: BaseChatModel, messages: list[BaseMessage], config: RunnableConfig | None, **options: Any
) -> BaseMessage:
    """The answer; streamed where the reader of the graph's stream may leave, since closing a stream ends the generation."""
    stream_closed: threading.Event | None = (config or {}).get("configurable", {}).get(STREAM_CLOSED)
    if stream_closed is None:
        return chat.invoke(messages, config, **options)
    reply: AIMessageChunk | None = None
    with closing(cast(Generator[AIMessageChunk, None, None], chat.stream(messages, config, **options))) as chunks:
        for chunk in chunks:
            if stream_closed.is_set():
                raise StreamClosed
            reply = chunk if reply is None else reply + chunk
    assert reply is not None
    return message_chunk_to_message(reply)
