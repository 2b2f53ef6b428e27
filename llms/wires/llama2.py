"""The wires of JumpStart's Llama 2 models, version 2.x: dialogs of roles, or text; no stream, the EULA in a header.

Source: JumpStart's pages for `meta-textgeneration-llama-2-7b-f`. Neither form says why an answer ended.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import GenerationChunk
from sagechain.prompts import OutputFormat
from sagechain.prompts.families import COMMON_ESCAPING, Llama2, alternate_roles, to_role_messages

from ..capabilities import Capabilities
from ..generation import Prompt
from ..parameters import GenerationParameters
from .base import OnUnsupported, Wire, container_error, wrong_shape


class Llama2Text(Wire):
    """`{"inputs", "parameters"}` → `[{"generation"}]`"""

    name: ClassVar[str] = "llama2-text"
    speakers: ClassVar[str] = "JumpStart's Llama 2, model version 2.x, asked with text"
    greedy_by: ClassVar[Any] = "temperature"
    tells_reason: ClassVar[bool] = False
    parameter_names: ClassVar[Mapping[str, str]] = {name: name for name in ("max_new_tokens", "temperature", "top_p")}

    def request(
        self,
        prompt: Prompt,
        parameters: GenerationParameters,
        *,
        stream: bool,
        output_format: OutputFormat | None = None,
        on_unsupported: OnUnsupported = "error",
    ) -> dict[str, Any]:
        """The body; temperature 0 is greedy here."""
        return {
            "inputs": self._inputs(prompt, output_format),
            "parameters": self.parameters(parameters, on_unsupported),
        }

    def replies(self, reply: Any) -> list[GenerationChunk]:
        """One answer a prompt."""
        if isinstance(reply, dict) and reply.get("error"):
            raise container_error(reply)
        try:
            texts = [self._text(item["generation"]) for item in reply]
        except (TypeError, KeyError) as error:
            raise wrong_shape(reply) from error
        if not texts or not all(isinstance(text, str) for text in texts):
            raise wrong_shape(reply)
        return [GenerationChunk(text=text) for text in texts]

    def _inputs(self, prompt: Prompt, output_format: OutputFormat | None) -> Any:
        return prompt

    def _text(self, generation: Any) -> Any:
        return generation


class Llama2Dialog(Llama2Text):
    """`{"inputs": [[{"role", "content"}…]], "parameters"}` → `[{"generation": {"role", "content"}}]`"""

    name: ClassVar[str] = "llama2-dialog"
    speakers: ClassVar[str] = "JumpStart's Llama 2 chat, model version 2.x"
    capabilities: ClassVar[Capabilities] = Capabilities(
        takes_roles=True, requires_roles=True, role_escaping=Llama2.escaping + COMMON_ESCAPING
    )

    def laid_out(self, prompt: Prompt, output_format: OutputFormat | None = None) -> str:
        """The container lays a dialog out as the family does."""
        return Llama2().render(_messages(prompt), output_format=output_format).text

    def _inputs(self, prompt: Prompt, output_format: OutputFormat | None) -> Any:
        return [_dialog(_messages(prompt), output_format)]

    def _text(self, generation: Any) -> Any:
        return generation["content"]


def _messages(prompt: Prompt) -> Sequence[BaseMessage]:
    return [HumanMessage(prompt)] if isinstance(prompt, str) else prompt


def _dialog(messages: Sequence[BaseMessage], output_format: OutputFormat | None) -> list[dict[str, str]]:
    """Roles that alternate, as the container asserts, with the layout's own tags escaped."""
    system, exchange = alternate_roles(to_role_messages(messages, Llama2.escaping, output_format))
    first = [{"role": "system", "content": system}] if system else []
    return [*first, *({"role": turn.role, "content": turn.text} for turn in exchange)]
