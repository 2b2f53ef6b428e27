"""What fell out of a conversation, summed up by the model itself in a few sentences.

Both prompts are the library's: `conversation-summary` asks for the summary, `conversation-so-far` tells it to the model.
"""

from collections.abc import Awaitable, Callable, Sequence

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, get_buffer_string
from sagechain.prompts import load_prompt

MARGIN = 16  # tokens: a summary may have some more in the system text than it had as an answer
LONG_TOKEN = 16  # characters: more than a token of a summary has on average, where nobody can count them


class Summaries:
    """Sums up turns, together with the summary there was.

    Args:
        chat: the model that is asked.

    Raises:
        ValueError: the model's context has no room for a summary.
    """

    def __init__(self, chat: BaseChatModel) -> None:
        self._chat = chat
        self._asking, self._telling = load_prompt("conversation-summary"), load_prompt("conversation-so-far")
        limits = self._asking.metadata["parameters"]
        self._most = int(limits["max_new_tokens"])
        self._options = {"max_tokens": self._most, "temperature": limits["temperature"]}
        heading = self._count(SystemMessage(self.told(""))) if self._room else 0
        self.tokens = self._most + heading + MARGIN
        """Most tokens of what is told."""
        if self._room is not None and self.tokens >= self._room:
            raise ValueError(
                f"summarise: a summary may have {self.tokens} tokens, and a prompt no more than {self._room} here; "
                "give the model a larger context, or leave summarise away"
            )

    def told(self, summary: str) -> str:
        """The part of the system text that has the summary."""
        return self._telling.format(summary=summary)

    def invoke(self, before: str, fallen: Sequence[BaseMessage], ask: Callable[..., BaseMessage]) -> str:
        """The new summary; `before` is the one there was, empty at first."""
        return self._bounded(ask(self._question(before, fallen), **self._options).text) or before

    async def ainvoke(
        self, before: str, fallen: Sequence[BaseMessage], ask: Callable[..., Awaitable[BaseMessage]]
    ) -> str:
        """As `invoke`."""
        return self._bounded((await ask(self._question(before, fallen), **self._options)).text) or before

    @property
    def _room(self) -> int | None:
        """Tokens that a question may have, beside the summary's own."""
        profile = self._chat.profile or {}
        if (room := profile.get("max_input_tokens")) is None:
            return None
        return room - max(0, self._most - profile.get("max_output_tokens", self._most))

    def _count(self, message: BaseMessage) -> int:
        return self._chat.get_num_tokens_from_messages([message])

    def _bounded(self, summary: str) -> str:
        """Without its end where the model has said more than it was to, so that no prompt grows with the thread."""
        # A NUL is what PostgreSQL cannot keep.
        summary = summary.replace("\x00", "").strip()[: self._most * LONG_TOKEN]
        while (
            self._room is not None and summary and (count := self._count(HumanMessage(summary))) > self._most + MARGIN
        ):
            summary = summary[: len(summary) * self._most // count].rstrip()
        return summary

    def _question(self, before: str, fallen: Sequence[BaseMessage]) -> list[BaseMessage]:
        """What is too long for the model even alone loses its oldest part."""
        # No words that a prompt family takes for its own structure.
        turns = get_buffer_string(fallen, human_prefix="Person", ai_prefix="Reply")
        text = "\n".join(part for part in (self.told(before) if before else "", turns) if part)
        while True:
            question = HumanMessage(self._asking.format(turns=text))
            room = self._room
            if room is None or not text or (count := self._count(question)) <= room:
                return [question]
            text = text[len(text) - len(text) * room // (count + count // 8) :]
