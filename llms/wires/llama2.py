"""The wires of JumpStart's Llama 2 models, version 2.x: a list of messages with roles, or text; neither has a stream.

Source: JumpStart's pages for `meta-textgeneration-llama-2-7b-f`. Neither reports why an answer ended, and both want the
licence accepted in a header (`accept_eula=True`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import GenerationChunk
from sagechain.prompts import OutputFormat
from sagechain.prompts.families import COMMON_ESCAPING, Llama2, alternate_roles, to_role_messages

from ..capabilities import Capabilities
from ..generation import Prompt
from .base import Wire, answers_in_list


class Llama2Text(Wire):
    """`{"inputs", "parameters"}` → `[{"generation"}]`"""

    name: ClassVar[str] = "llama2-text"
    servers: ClassVar[str] = "JumpStart's Llama 2, model version 2.x, with a text prompt"
    greedy_parameter: ClassVar[Any] = "temperature"
    reports_finish_reason: ClassVar[bool] = False
    parameter_names: ClassVar[Mapping[str, str]] = {name: name for name in ("max_new_tokens", "temperature", "top_p")}

    def _answers(self, reply: Any) -> list[GenerationChunk]:
        return answers_in_list(reply, "generation")


class Llama2Dialog(Llama2Text):
    """`{"inputs": [[{"role", "content"}…]], "parameters"}` → `[{"generation": {"role", "content"}}]`"""

    name: ClassVar[str] = "llama2-dialog"
    servers: ClassVar[str] = "JumpStart's Llama 2 chat, model version 2.x"
    capabilities: ClassVar[Capabilities] = Capabilities(
        takes_roles=True, requires_roles=True, role_escaping=Llama2.escaping + COMMON_ESCAPING
    )

    def rendered_prompt(self, prompt: Prompt, output_format: OutputFormat | None = None) -> str:
        """The container renders messages as the family does."""
        return Llama2().render(_messages(prompt), output_format=output_format).text

    def _inputs(self, prompt: Prompt, output_format: OutputFormat | None) -> Any:
        """One dialog, whose roles alternate, as the container asserts, with the layout's own tags escaped."""
        role_messages = to_role_messages(_messages(prompt), Llama2.escaping, output_format)
        system, exchange = alternate_roles(role_messages)
        first = [{"role": "system", "content": system}] if system else []
        return [[*first, *({"role": message.role, "content": message.text} for message in exchange)]]

    def _answers(self, reply: Any) -> list[GenerationChunk]:
        return answers_in_list(reply, "generation", "content")


def _messages(prompt: Prompt) -> Sequence[BaseMessage]:
    return [HumanMessage(prompt)] if isinstance(prompt, str) else prompt
