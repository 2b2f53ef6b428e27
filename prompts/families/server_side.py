"""Models whose server lays messages out itself, with the model's own chat template: nothing is rendered here."""

from typing import ClassVar

from ..escaping import NO_ESCAPING, Escaping
from .base import PromptFamily, RoleMessage


class Messages(PromptFamily):
    """No layout: messages go to the server as they are, over the `messages` wire."""

    name: ClassVar[str] = "messages"
    stop: ClassVar[tuple[str, ...]] = ()
    escaping: ClassVar[Escaping] = NO_ESCAPING

    def layout(self, messages: list[RoleMessage]) -> str:
        """Always raises a ValueError that explains why."""
        raise ValueError(
            "family: 'messages' has no layout, since the server applies the model's own chat template; "
            "give the messages to load_chat_model('sagemaker:ENDPOINT?family=messages')"
        )
