"""The layout of Falcon 7b-instruct and 40b-instruct: a transcript, one line a turn.

These models have no special tokens for turns; what they were tuned on is the transcript itself. So a line in a
message that looks like a turn would be one, and is neutralised.
"""

from typing import ClassVar

from sagechain.prompts.family import PromptFamily, Turn, alternating
from sagechain.prompts.neutralise import Tags, turn_line


class Falcon(PromptFamily):
    """`User: …\\nAssistant: …\\nUser: …\\nAssistant:`; the system text is a first line of its own."""

    name: ClassVar[str] = "falcon"
    stop: ClassVar[tuple[str, ...]] = ("\nUser:", "<|endoftext|>")
    tags: ClassVar[Tags] = Tags(
        [
            ("<", r"\|endoftext\|>"),
            # The other special tokens of Falcon's tokenizer.
            (">", r">(?:TITLE|ABSTRACT|INTRODUCTION|SUMMARY|COMMENT|ANSWER|QUESTION|DOMAIN|PREFIX|SUFFIX|MIDDLE)<<"),
            turn_line("System", "User", "Assistant", "Falcon"),
        ]
    )

    def layout(self, turns: list[Turn]) -> str:
        """One line a turn, the last one open for the answer."""
        system, exchange = alternating([Turn(turn.role, turn.text.strip()) for turn in turns])
        names = {"user": "User", "assistant": "Assistant"}
        lines = [f"{names[turn.role]}: {turn.text}".rstrip(" ") for turn in exchange]
        return "\n".join([*([system] if system else []), *lines, "Assistant:"])
