"""The newest turns of a conversation that a model's context has room for, counted with the model's own tokenizer.

LangChain's `trim_messages` counts messages in another order than they are sent in; here what is counted is the prompt that
would be sent, so that it fits to the token. It also drops one turn at every turn, so that each prompt begins in another way
and no server can use what it has computed before; here a part is dropped at once, and the beginning stays for many turns.
"""

from bisect import bisect_left
from collections.abc import Sequence

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from sagechain.llms import PromptedChatModel

from .turns import beginnings

MOST_TURNS = (
    80  # where no limit is given: what a turn costs must not grow with what a large or unknown context would hold
)
KEPT_PART = 0.75  # of the room, when turns have to be dropped: the rest is for turns to come
LAYOUT_BYTES = 64  # more than any prompt family puts around a message


class History:
    """Picks the newest whole turns that fit.

    Args:
        chat: whose tokens are counted. Its room for a prompt is its profile's `max_input_tokens`, where it has one.
        first: what always stands before the turns: system text and examples.
        tokens: most tokens of the turns. If None, all that the model has room for, and at most `MOST_TURNS` turns.
        reserved: tokens that are left free for what else may stand before the turns.
    """

    def __init__(
        self, chat: BaseChatModel, first: Sequence[BaseMessage], tokens: int | None, reserved: int = 0
    ) -> None:
        self._chat, self._first, self._tokens, self._reserved = chat, list(first), tokens, reserved
        self._room: int | None = None
        self._before = 0

    def fitting(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """The newest turns, the first of them with its question.

        Raises:
            ValueError: not even the last turn fits; the message says by how many tokens.
        """
        starts = [start for start in beginnings(messages) if start]
        newest = list(messages)
        if self._tokens is None and len(starts) >= MOST_TURNS:
            newest = newest[starts[-int(KEPT_PART * MOST_TURNS)] :]
        room = self._room_for_prompt()
        if room is None or self._surely_fits(newest, room) or self._count(newest) <= room:
            return newest
        return list(messages[self._beginning(messages, starts or [0], room) :])

    def _beginning(self, messages: Sequence[BaseMessage], starts: list[int], room: int) -> int:
        kept = bisect_left(starts, True, key=lambda start: self._count(messages[start:]) <= KEPT_PART * room)
        start = starts[min(kept, len(starts) - 1)]
        if kept == len(starts) and (asked := self._count(messages[start:])) > room:
            raise ValueError(
                f"messages: the last turn is {asked - room} tokens too long for the {room} that a prompt may have here, "
                "system text and examples among them; shorten it"
            )
        return start

    def _room_for_prompt(self) -> int | None:
        if self._room is None:
            self._before = self._count([]) if self._first else 0
            limits = [] if self._tokens is None else [self._before + self._tokens]
            own = (self._chat.profile or {}).get("max_input_tokens")
            self._room = min([*limits, *([own - self._reserved] if own else [])], default=None)
        return self._room

    def _surely_fits(self, messages: Sequence[BaseMessage], room: int) -> bool:
        """Without counting: a token has at least one byte, and escaping puts one more to a tag of three or more."""
        if not isinstance(self._chat, PromptedChatModel):
            return False
        texts = (f"{message.content}{getattr(message, 'tool_calls', '')}" for message in messages)
        return self._before + sum(len(text.encode()) * 4 // 3 + LAYOUT_BYTES for text in texts) <= room

    def _count(self, messages: Sequence[BaseMessage]) -> int:
        return self._chat.get_num_tokens_from_messages([*self._first, *messages])
