"""The newest turns of a conversation that a model's context has room for, counted with the model's own tokenizer.

LangChain's `trim_messages` counts messages in another order than they are sent in; here what is counted is the prompt that
would be sent, so that it fits to the token.
"""

from bisect import bisect_left
from collections.abc import Sequence

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from sagechain.llms import PromptedChatModel

LAYOUT_BYTES = 64  # more than any prompt family puts around a message


class History:
    """Picks the newest whole turns that fit.

    Args:
        chat: whose tokens are counted. Its room for a prompt is its profile's `max_input_tokens`, where it has one.
        first: what always stands before the turns: system text and examples.
        tokens: most tokens of the turns; no limit besides the model's own if None.
    """

    def __init__(self, chat: BaseChatModel, first: Sequence[BaseMessage], tokens: int | None) -> None:
        self._chat, self._first, self._tokens = chat, list(first), tokens
        self._room: int | None = None
        self._before = 0

    def fitting(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """The newest turns, the first of them with its question.

        Raises:
            ValueError: not even the last turn fits; the message says by how many tokens.
        """
        room = self._room_for_prompt()
        if room is None or self._surely_fits(messages, room):
            return list(messages)
        starts = [i for i, message in enumerate(messages) if _begins_a_turn(messages, i) or i == 0]
        kept = bisect_left(starts, True, key=lambda start: self._count(messages[start:]) <= room)
        if kept == len(starts):
            over = self._count(messages[starts[-1] :]) - room
            raise ValueError(
                f"messages: the last turn is {over} tokens too long for the {room} that a prompt may have here, system "
                "text and examples among them; shorten it"
            )
        return list(messages[starts[kept] :])

    def _room_for_prompt(self) -> int | None:
        if self._room is None:
            self._before = self._count([]) if self._first else 0
            limits = [] if self._tokens is None else [self._before + self._tokens]
            own = (self._chat.profile or {}).get("max_input_tokens")
            self._room = min([*limits, *([own] if own else [])], default=None)
        return self._room

    def _surely_fits(self, messages: Sequence[BaseMessage], room: int) -> bool:
        """Without counting: a token has at least one byte, and neutralising puts one more to a tag of three or more."""
        if not isinstance(self._chat, PromptedChatModel):
            return False
        texts = (f"{message.content}{getattr(message, 'tool_calls', '')}" for message in messages)
        return self._before + sum(len(text.encode()) * 4 // 3 + LAYOUT_BYTES for text in texts) <= room

    def _count(self, messages: Sequence[BaseMessage]) -> int:
        return self._chat.get_num_tokens_from_messages([*self._first, *messages])


def _begins_a_turn(messages: Sequence[BaseMessage], i: int) -> bool:
    return messages[i].type == "human" and messages[i - 1].type != "human"
