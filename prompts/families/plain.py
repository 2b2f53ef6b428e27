"""A transcript in plain words, for models that were trained only to continue text (GPT-2, base models)."""

from collections.abc import Mapping
from typing import ClassVar

from ..escaping import Escaping, role_label
from .base import Transcript


class Plain(Transcript):
    """`Human: …\\nAI: …\\nHuman: …\\nAI:`; the system text comes first, with a blank line after it."""

    name: ClassVar[str] = "plain"
    system_format: ClassVar[str] = "{}\n"
    labels: ClassVar[Mapping[str, str]] = {"user": "Human", "assistant": "AI"}
    stop: ClassVar[tuple[str, ...]] = ("\nHuman:", "<|endoftext|>")
    escaping: ClassVar[Escaping] = Escaping([("<", r"\|endoftext\|>"), role_label("System", "Human", "AI")])
