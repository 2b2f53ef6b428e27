"""A transcript in plain words, for models that were only ever taught to continue text (GPT-2, base models)."""

from typing import ClassVar

from ..escaping import Escaping, turn_line
from .base import PromptFamily, RoleMessage, transcript


class Plain(PromptFamily):
    """`Human: …\\nAI: …\\nHuman: …\\nAI:`; the system text stands in front, with a blank line after it."""

    name: ClassVar[str] = "plain"
    stop: ClassVar[tuple[str, ...]] = ("\nHuman:", "<|endoftext|>")
    escaping: ClassVar[Escaping] = Escaping([("<", r"\|endoftext\|>"), turn_line("System", "Human", "AI")])

    def layout(self, turns: list[RoleMessage]) -> str:
        """One line a turn, the last one open for the answer."""
        return transcript(turns, system="{}\n", names={"user": "Human", "assistant": "AI"})
