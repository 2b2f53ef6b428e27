"""A transcript in plain words, for models that were trained only to continue text (GPT-2, base models)."""

from typing import ClassVar

from ..escaping import Escaping, role_label
from .base import PromptFamily, RoleMessage, transcript


class Plain(PromptFamily):
    """`Human: …\\nAI: …\\nHuman: …\\nAI:`; the system text comes first, with a blank line after it."""

    name: ClassVar[str] = "plain"
    stop: ClassVar[tuple[str, ...]] = ("\nHuman:", "<|endoftext|>")
    escaping: ClassVar[Escaping] = Escaping([("<", r"\|endoftext\|>"), role_label("System", "Human", "AI")])

    def layout(self, messages: list[RoleMessage]) -> str:
        """One line per message, the last one open for the answer."""
        return transcript(messages, system_format="{}\n", labels={"user": "Human", "assistant": "AI"})
