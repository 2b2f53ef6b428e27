"""How checkpoints become bytes: as LangGraph's serializer does it, without what cannot be saved.

A tool may put any object into its message's artifact, which no model sees. One that cannot be saved is left out, and the
logger `sagechain.chains` names it; the turn is saved.
"""

import logging
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Send

logger = logging.getLogger("sagechain.chains")

FREE_FIELDS = ("artifact", "additional_kwargs", "response_metadata")
"""The fields of messages in which tools and providers put objects of their own."""


class ThreadSerializer(JsonPlusSerializer):
    """LangGraph's serializer, for messages with any artifact and metadata."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """As LangGraph's. Raises ValueError for a value of a graph's state that cannot be saved."""
        try:
            return super().dumps_typed(obj)
        except TypeError:
            pass
        try:
            return super().dumps_typed(self._savable(obj))
        except (TypeError, RecursionError) as error:
            raise ValueError(f"state: it cannot be saved: {error}; store text, numbers, lists and dicts") from error

    def _savable(self, value: Any) -> Any:
        """The value with messages that can be saved."""
        if isinstance(value, BaseMessage):
            return self._savable_message(value)
        if isinstance(value, Send):
            return Send(value.node, self._savable(value.arg))
        if isinstance(value, dict):
            return {key: self._savable(each) for key, each in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._savable(each) for each in value)
        return value

    def _savable_message(self, message: BaseMessage) -> BaseMessage:
        changes: dict[str, Any] = {}
        for field in FREE_FIELDS:
            value: Any = getattr(message, field, None)
            if self._can_save(value):
                continue
            whose = f"{message.type} message {message.name or message.id!r}"
            logger.warning("%s of the %s is left out of the thread: %s cannot be saved", field, whose, type(value))
            changes[field] = None
            if field != "artifact":
                changes[field] = {key: each for key, each in dict(value).items() if self._can_save(each)}
        return message.model_copy(update=changes) if changes else message

    def _can_save(self, value: Any) -> bool:
        try:
            super().dumps_typed(value)
        except TypeError:
            return False
        return True
