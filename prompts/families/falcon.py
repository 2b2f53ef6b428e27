"""The layouts of Falcon 7b-instruct and 40b-instruct, and of 180b-chat: transcripts, one line a turn.

These models have no special tokens for turns; what they were tuned on is the transcript itself. So a line in a
message that looks like a turn would be one, and is escaped.
"""

from typing import ClassVar

from ..escaping import Escaping, turn_line
from .base import PromptFamily, RoleMessage, transcript


class Falcon(PromptFamily):
    """`User: …\\nAssistant: …\\nUser: …\\nAssistant:`; the system text is a first line of its own."""

    name: ClassVar[str] = "falcon"
    stop: ClassVar[tuple[str, ...]] = ("\nUser:", "<|endoftext|>")
    context: ClassVar[int | None] = 2048  # the model cards of `tiiuae/falcon-7b-instruct` and `falcon-180B-chat`
    escaping: ClassVar[Escaping] = Escaping(
        [
            ("<", r"\|endoftext\|>"),
            # The other special tokens of Falcon's tokenizer.
            (">", r">(?:TITLE|ABSTRACT|INTRODUCTION|SUMMARY|COMMENT|ANSWER|QUESTION|DOMAIN|PREFIX|SUFFIX|MIDDLE)<<"),
            turn_line("System", "User", "Assistant", "Falcon"),
        ]
    )

    def layout(self, turns: list[RoleMessage]) -> str:
        """One line a turn, the last one open for the answer."""
        return transcript(turns, system="{}", names={"user": "User", "assistant": "Assistant"})


class Falcon180B(Falcon):
    """`System: …\\nUser: …\\nFalcon: …\\nUser: …\\nFalcon:`

    Source: the model card of `tiiuae/falcon-180B-chat`.
    """

    name: ClassVar[str] = "falcon180b"

    def layout(self, turns: list[RoleMessage]) -> str:
        """One line a turn, the last one open for the answer."""
        return transcript(turns, system="System: {}", names={"user": "User", "assistant": "Falcon"})
