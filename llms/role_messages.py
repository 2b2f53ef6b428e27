"""Messages as the role list that a model's own chat template reads, with all that it may read as structure neutralised."""

from collections.abc import Sequence

from langchain_core.messages import BaseMessage
from sagechain.prompts import Shape, Tags
from sagechain.prompts.families import ChatML, Llama2, turns_of

# What a chat template that we do not know may read as structure.
TEMPLATE_TAGS = (
    ChatML.tags
    + Llama2.tags
    + Tags(
        [
            ("<", r"(?:start_of_turn|end_of_turn|bos|eos)>"),
            (r"\[", r"/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"),
            ("<", r"｜[^｜<>]{1,40}｜>"),
        ]
    )
)


def dialog(messages: Sequence[BaseMessage], shape: Shape | None = None) -> list[dict[str, str]]:
    """Each message as `{"role", "content"}`; the first tells `shape`. Raises ValueError as `turns_of` does."""
    return [{"role": turn.role, "content": turn.text} for turn in turns_of(messages, TEMPLATE_TAGS, shape)]
