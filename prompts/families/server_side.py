"""Models whose server lays messages out itself, with the model's own chat template: there is nothing to render here."""

from collections.abc import Sequence
from typing import ClassVar

from langchain_core.messages import BaseMessage

from ..escaping import Tags
from ..output_format import AnyTool, Shape
from .base import PromptFamily, RenderedPrompt, Turn


class Messages(PromptFamily):
    """No layout: messages go to the server as they are, over the `messages` wire."""

    name: ClassVar[str] = "messages"
    stop: ClassVar[tuple[str, ...]] = ()
    tags: ClassVar[Tags] = Tags([])

    def render(
        self, messages: Sequence[BaseMessage], tools: Sequence[AnyTool] = (), *, shape: Shape | None = None
    ) -> RenderedPrompt:
        """Nothing: always a ValueError that says why."""
        raise ValueError(
            "family: 'messages' has no layout, since the server applies the model's own chat template; "
            "give the messages to load_chat_model('sagemaker:ENDPOINT?family=messages')"
        )

    def layout(self, turns: list[Turn]) -> str:
        """As `render`."""
        raise NotImplementedError
