"""Summaries of the turns that were trimmed from a conversation, written by the model itself in a few sentences.

Both prompts are in the library: `conversation-summary` requests the summary, `conversation-so-far` puts it into the system
text.
"""

from collections.abc import Awaitable, Callable, Sequence

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, get_buffer_string
from sagechain.llms import PromptedChatModel
from sagechain.prompts import load_prompt

from .counting import TokenCounter

MARGIN = 16  # tokens: a summary may have a few more in the system text than it had as an answer
CHARACTERS_PER_TOKEN = 16  # more than a token of a summary has on average, for models whose tokens can't be counted


class Summaries:
    """Summarises turns together with the previous summary.

    Args:
        chat: the model.

    Raises:
        ValueError: the model's context has no room for a summary.
    """

    def __init__(self, chat: BaseChatModel) -> None:
        self._chat, self._counter = chat, TokenCounter(chat)
        self._request = load_prompt("conversation-summary")
        self._insertion = load_prompt("conversation-so-far")
        parameters = self._request.metadata["parameters"]
        self._max_tokens = int(parameters["max_new_tokens"])
        options = {"max_tokens": self._max_tokens, "temperature": parameters["temperature"]}
        self._options = chat.honoured(**options) if isinstance(chat, PromptedChatModel) else options
        heading = self._count(SystemMessage(self.system_text(""))) if self._room else 0
        self.tokens = self._max_tokens + heading + MARGIN
        """Most tokens of a summary in the system text."""
        if self._room is not None and self.tokens >= self._room:
            raise ValueError(
                f"summarise: a summary may have {self.tokens} tokens, and a prompt no more than {self._room} here; "
                "give the model a larger context, or leave summarise away"
            )

    def system_text(self, summary: str) -> str:
        """The part of the system text that contains the summary."""
        return self._insertion.format(summary=summary)

    def invoke(self, previous: str, turns: Sequence[BaseMessage], generate: Callable[..., BaseMessage]) -> str:
        """The new summary, of the previous one (empty at first) and the trimmed turns."""
        reply = generate(self._question(previous, turns), **self._options)
        return self._shortened(reply.text) or previous

    async def ainvoke(
        self, previous: str, turns: Sequence[BaseMessage], generate: Callable[..., Awaitable[BaseMessage]]
    ) -> str:
        """As `invoke`."""
        reply = await generate(self._question(previous, turns), **self._options)
        return self._shortened(reply.text) or previous

    @property
    def _room(self) -> int | None:
        """Most tokens of the question, beside the summary's own."""
        profile = self._chat.profile or {}
        if (room := profile.get("max_input_tokens")) is None:
            return None
        return room - max(0, self._max_tokens - profile.get("max_output_tokens", self._max_tokens))

    def _count(self, message: BaseMessage) -> int:
        return self._counter.count([message])

    def _shortened(self, summary: str) -> str:
        """Without its end where the model wrote more than its limit, so that no prompt grows with the thread."""
        # PostgreSQL cannot store a NUL.
        summary = summary.replace("\x00", "").strip()[: self._max_tokens * CHARACTERS_PER_TOKEN]
        if self._room is None:
            return summary
        while summary and (tokens := self._count(HumanMessage(summary))) > self._max_tokens + MARGIN:
            summary = summary[: len(summary) * self._max_tokens // tokens].rstrip()
        return summary

    def _question(self, previous: str, turns: Sequence[BaseMessage]) -> list[BaseMessage]:
        """The request for a summary; turns that are too long for the model alone lose their oldest part."""
        # Role names that no prompt family reads as its own structure.
        transcript = get_buffer_string(turns, human_prefix="Person", ai_prefix="Reply")
        text = "\n".join(part for part in (self.system_text(previous) if previous else "", transcript) if part)
        while True:
            question = HumanMessage(self._request.format(turns=text))
            room = self._room
            if room is None or not text or (tokens := self._count(question)) <= room:
                return [question]
            text = text[len(text) - len(text) * room // (tokens + tokens // 8) :]
