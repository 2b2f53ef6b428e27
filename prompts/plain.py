"""A transcript in plain words, for models that were only ever taught to continue text (GPT-2, base models)."""

from typing import ClassVar

from sagechain.prompts.family import PromptFamily, Turn, alternating
from sagechain.prompts.neutralise import Tags, turn_line


class Plain(PromptFamily):
    """`Human: …\\nAI: …\\nHuman: …\\nAI:`; the system text stands in front, with a blank line after it."""

    name: ClassVar[str] = "plain"
    stop: ClassVar[tuple[str, ...]] = ("\nHuman:", "<|endoftext|>")
    tags: ClassVar[Tags] = Tags([("<", r"\|endoftext\|>"), turn_line("System", "Human", "AI")])

    def layout(self, turns: list[Turn]) -> str:
        """One line a turn, the last one open for the answer."""
        system, exchange = alternating([Turn(turn.role, turn.text.strip()) for turn in turns])
        names = {"user": "Human", "assistant": "AI"}
        lines = [f"{names[turn.role]}: {turn.text}".rstrip(" ") for turn in exchange]
        return "\n".join([*([f"{system}\n"] if system else []), *lines, "AI:"])
