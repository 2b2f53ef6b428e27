"""The layouts of Falcon 7b-instruct and 40b-instruct, and of 180b-chat: transcripts with one line per message.

These models have no special tokens for roles: they were fine-tuned on the transcript itself. So a line in a message that
looks like the start of another message would be one to the model, and is escaped.
"""

from collections.abc import Mapping
from typing import ClassVar

from ..escaping import Escaping, role_label
from .base import Transcript


class Falcon(Transcript):
    """`User: …\\nAssistant: …\\nUser: …\\nAssistant:`; the system text is the first line."""

    name: ClassVar[str] = "falcon"
    labels: ClassVar[Mapping[str, str]] = {"user": "User", "assistant": "Assistant"}
    stop: ClassVar[tuple[str, ...]] = ("\nUser:", "<|endoftext|>")
    context: ClassVar[int | None] = 2048  # the model cards of `tiiuae/falcon-7b-instruct` and `falcon-180B-chat`
    escaping: ClassVar[Escaping] = Escaping(
        [
            ("<", r"\|endoftext\|>"),
            # The other special tokens of Falcon's tokenizer.
            (">", r">(?:TITLE|ABSTRACT|INTRODUCTION|SUMMARY|COMMENT|ANSWER|QUESTION|DOMAIN|PREFIX|SUFFIX|MIDDLE)<<"),
            role_label("System", "User", "Assistant", "Falcon"),
        ]
    )


class Falcon180B(Falcon):
    """`System: …\\nUser: …\\nFalcon: …\\nUser: …\\nFalcon:`

    Source: the model card of `tiiuae/falcon-180B-chat`.
    """

    name: ClassVar[str] = "falcon180b"
    system_format: ClassVar[str] = "System: {}"
    labels: ClassVar[Mapping[str, str]] = {"user": "User", "assistant": "Falcon"}
