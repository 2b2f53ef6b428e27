"""The newest turns of a conversation that fit the model's context, counted with the model's own tokenizer if it has one.

LangChain's `trim_messages` counts messages in another order than they are sent in; here the prompt that would be sent is
counted, so that it fits to the token. `trim_messages` also drops one turn at every turn, so each prompt starts differently
and no server can reuse its prompt cache; here a quarter is dropped, and the start stays the same for many turns.
"""

from bisect import bisect_left
from collections.abc import Sequence

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from sagechain.llms import PromptedChatModel

from ..turns import turn_starts
from .counting import TokenCounter

MAX_TURNS = 80  # without a limit: the cost of a turn must not grow with what a large or unknown context has room for
TRIMMED_SHARE = 0.75  # of the room, filled after trimming: the rest is for the turns to come
LAYOUT_BYTES = 64  # more than any prompt family puts around a message


class History:
    """Picks the newest whole turns that fit.

    Args:
        chat: the model whose tokens are counted. Its room for a prompt is its profile's `max_input_tokens`, if known.
        prefix: the messages before the turns: system text and examples.
        tokens: most tokens of the turns. None: all that the model has room for, and at most `MAX_TURNS` turns.
        reserved: tokens left free for a summary.
    """

    def __init__(
        self, chat: BaseChatModel, prefix: Sequence[BaseMessage], tokens: int | None, reserved: int = 0
    ) -> None:
        self._chat, self._prefix, self._tokens, self._reserved = chat, list(prefix), tokens, reserved
        self._counter = TokenCounter(chat)
        self._room: int | None = None
        self._prefix_tokens = 0

    def window(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """The newest turns that fit, from the first message of a turn on.

        Raises:
            ValueError: not even the last turn fits; the message gives the number of tokens.
        """
        starts = [start for start in turn_starts(messages) if start]
        newest = list(messages)
        if self._tokens is None and len(starts) >= MAX_TURNS:
            newest = newest[starts[-int(TRIMMED_SHARE * MAX_TURNS)] :]
        room = self._prompt_room()
        if room is None or self._surely_fits(newest, room) or self._count(newest) <= room:
            return newest
        return list(messages[self._window_start(messages, starts or [0], room) :])

    def _window_start(self, messages: Sequence[BaseMessage], starts: list[int], room: int) -> int:
        first_fitting = bisect_left(
            starts, True, key=lambda start: self._count(messages[start:]) <= TRIMMED_SHARE * room
        )
        start = starts[min(first_fitting, len(starts) - 1)]
        if first_fitting == len(starts) and (tokens := self._count(messages[start:])) > room:
            raise ValueError(
                f"messages: the last turn is {tokens - room} tokens too long for the {room} that a prompt may have here, "
                "system text and examples included; shorten it"
            )
        return start

    def _prompt_room(self) -> int | None:
        if self._room is None:
            self._prefix_tokens = self._count([]) if self._prefix else 0
            limits = [] if self._tokens is None else [self._prefix_tokens + self._tokens]
            context = (self._chat.profile or {}).get("max_input_tokens")
            self._room = min([*limits, *([context - self._reserved] if context else [])], default=None)
        return self._room

    def _surely_fits(self, messages: Sequence[BaseMessage], room: int) -> bool:
        """Without counting: a token has at least one byte, and escaping adds one to a tag of three or more."""
        if not isinstance(self._chat, PromptedChatModel):
            return False
        texts = (f"{message.content}{getattr(message, 'tool_calls', '')}" for message in messages)
        return (
            self._prefix_tokens + sum(len(text.encode(errors="replace")) * 4 // 3 + LAYOUT_BYTES for text in texts)
            <= room
        )

    def _count(self, messages: Sequence[BaseMessage]) -> int:
        return self._counter.count([*self._prefix, *messages])
