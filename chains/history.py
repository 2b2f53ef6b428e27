"""The newest turns of a conversation that a model's context has room for, counted with the model's own tokenizer.

LangChain's `trim_messages` counts messages in another order than they are sent in; here what is counted is the prompt that
would be sent, so that it fits to the token. It also drops one turn at every turn, so that each prompt begins in another way
and no server can use what it has computed before; here a part is dropped at once, and the beginning stays for many turns.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from sagechain.llms import PromptedChatModel

KEPT_PART = 0.75  # of the room, when turns have to be dropped: the rest is for turns to come
REMEMBERED_BEGINNINGS = 1_024  # threads
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
        self._beginnings: OrderedDict[str, None] = OrderedDict()

    def fitting(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """The newest turns, the first of them with its question.

        Raises:
            ValueError: not even the last turn fits; the message says by how many tokens.
        """
        room = self._room_for_prompt()
        if room is None or self._surely_fits(messages, room):
            return list(messages)
        starts = [i for i in range(1, len(messages)) if messages[i].type == "human" and messages[i - 1].type != "human"]
        for start in reversed(starts):
            if messages[start].id in self._beginnings and self._count(messages[start:]) <= room:
                return list(messages[start:])
        if self._count(messages) <= room:
            return list(messages)
        return list(messages[self._new_beginning(messages, starts or [0], room) :])

    def _new_beginning(self, messages: Sequence[BaseMessage], starts: list[int], room: int) -> int:
        kept = bisect_left(starts, True, key=lambda start: self._count(messages[start:]) <= KEPT_PART * room)
        start = starts[min(kept, len(starts) - 1)]
        if kept == len(starts) and (asked := self._count(messages[start:])) > room:
            raise ValueError(
                f"messages: the last turn is {asked - room} tokens too long for the {room} that a prompt may have here, "
                "system text and examples among them; shorten it"
            )
        if (name := messages[start].id) is not None:
            self._beginnings[name] = None
            if len(self._beginnings) > REMEMBERED_BEGINNINGS:
                self._beginnings.popitem(last=False)
        return start

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
