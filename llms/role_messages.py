"""Messages as the list of roles that a model's own chat template reads, with escaped text."""

from collections.abc import Sequence

from langchain_core.messages import BaseMessage
from sagechain.prompts import Escaping, OutputFormat
from sagechain.prompts.families import ChatML, Llama2, to_role_messages

# What an unknown chat template may read as structure.
TEMPLATE_ESCAPING = (
    ChatML.escaping
    + Llama2.escaping
    + Escaping(
        [
            ("<", r"(?:start_of_turn|end_of_turn|bos|eos)>"),
            (r"\[", r"/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"),
            ("<", r"｜[^｜<>]{1,40}｜>"),
        ]
    )
)


def dialog(messages: Sequence[BaseMessage], output_format: OutputFormat | None = None) -> list[dict[str, str]]:
    """Each message as `{"role", "content"}`; the first shows `output_format`. Errors: as in `to_role_messages`.

    Raises:
        ValueError: a tool or a schema has half a character in its text.
    """
    turns = to_role_messages(messages, TEMPLATE_ESCAPING, output_format)
    for turn in turns:
        try:
            turn.text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"prompt: the {turn.role} text is not valid at character {error.start}") from error
    return [{"role": turn.role, "content": turn.text} for turn in turns]
