"""What fell out of a conversation, summed up by the model itself in a few sentences.

Both prompts are the library's: `conversation-summary` asks for the summary, `conversation-so-far` tells it to the model.
"""

from collections.abc import Awaitable, Callable, Sequence

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, get_buffer_string
from sagechain.prompts import load_prompt

MARGIN = 16  # tokens: a summary may have some more in the system text than it had as an answer


class Summaries:
    """Sums up turns, together with the summary there was.

    Args:
        chat: the model that is asked.
    """

    def __init__(self, chat: BaseChatModel) -> None:
        self._chat = chat
        self._asking, self._telling = load_prompt("conversation-summary"), load_prompt("conversation-so-far")
        limits = self._asking.metadata["parameters"]
        self._options = {"max_tokens": limits["max_new_tokens"], "temperature": limits["temperature"]}

    @property
    def tokens(self) -> int:
        """Most tokens of what is told."""
        heading = self._chat.get_num_tokens_from_messages([SystemMessage(self.told(""))]) if self._room else 0
        return int(self._options["max_tokens"]) + heading + MARGIN

    def told(self, summary: str) -> str:
        """The part of the system text that has the summary."""
        return self._telling.format(summary=summary)

    def invoke(self, before: str, fallen: Sequence[BaseMessage], ask: Callable[..., BaseMessage]) -> str:
        """The new summary; `before` is the one there was, empty at first."""
        return ask(self._question(before, fallen), **self._options).text.strip()

    async def ainvoke(
        self, before: str, fallen: Sequence[BaseMessage], ask: Callable[..., Awaitable[BaseMessage]]
    ) -> str:
        """As `invoke`."""
        return (await ask(self._question(before, fallen), **self._options)).text.strip()

    @property
    def _room(self) -> int | None:
        return (self._chat.profile or {}).get("max_input_tokens")

    def _question(self, before: str, fallen: Sequence[BaseMessage]) -> list[BaseMessage]:
        """What is too long for the model even alone loses its oldest part."""
        # No words that a prompt family takes for its own structure.
        turns = get_buffer_string(fallen, human_prefix="Person", ai_prefix="Reply")
        text = "\n".join(part for part in (self.told(before) if before else "", turns) if part)
        while True:
            question: list[BaseMessage] = [HumanMessage(self._asking.format(turns=text))]
            room = self._room
            if room is None or not text or (count := self._chat.get_num_tokens_from_messages(question)) <= room:
                return question
            text = text[len(text) - len(text) * room // (count + count // 8) :]
