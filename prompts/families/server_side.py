"""Models whose server lays messages out itself, with the model's own chat template: there is nothing to render here."""

from collections.abc import Sequence
from typing import ClassVar

from langchain_core.messages import BaseMessage

from ..escaping import Escaping
from ..output_format import AnyTool, OutputFormat
from .base import PromptFamily, RenderedPrompt, RoleMessage


class Messages(PromptFamily):
    """No layout: messages go to the server as they are, over the `messages` wire."""

    name: ClassVar[str] = "messages"
    stop: ClassVar[tuple[str, ...]] = ()
    escaping: ClassVar[Escaping] = Escaping([])

    def render(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[AnyTool] = (),
        *,
        output_format: OutputFormat | None = None,
    ) -> RenderedPrompt:
        """Nothing: always a ValueError that says why."""
        raise ValueError(
            "family: 'messages' has no layout, since the server applies the model's own chat template; "
            "give the messages to load_chat_model('sagemaker:ENDPOINT?family=messages')"
        )

    def layout(self, turns: list[RoleMessage]) -> str:
        """As `render`."""
        raise NotImplementedError
